"""``auth.*``: tokens. ``auth.login`` itself is answered by the dispatcher, which sees the credentials."""

from __future__ import annotations

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.fields import INT, STR, required

service = Service("auth")


@service.open_endpoint("login", expiration_sec=INT)
def login(call: Call) -> Data:
    """Stands in the table for its name and fields."""
    return {}


@service.endpoint("create_token", expiration_sec=INT)
def create_token(call: Call) -> Data:
    """A token with a life of the caller's choice, at most the usual one."""
    return {"token": call.authority.issue(call.get("expiration_sec"), access_key=call.access_key)}


@service.endpoint("validate_token", token=required(STR))
def validate_token(call: Call) -> Data:
    """Whether a token is valid, and whose it is."""
    try:
        call.authority.check(call.data["token"])
    except ApiRefusal as refusal:
        return {"valid": False, "msg": str(refusal)}
    return {"company": identity.COMPANY_ID, "user": identity.USER_ID, "valid": True}
