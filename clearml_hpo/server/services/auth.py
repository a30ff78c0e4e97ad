"""``auth.*``: tokens, users, keys. ``auth.login`` itself is answered by the dispatcher, which sees the credentials."""

from __future__ import annotations

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import INT, STR, required

service = Service("auth")


@service.open_endpoint("login", expiration_sec=INT)
def login(call: Call) -> Data:
    """Stands in the table for its name and fields."""
    return {}


@service.open_endpoint("logout")
def logout(call: Call) -> Data:
    """A token is no longer used; the page that put it into a cookie removes that."""
    return {}


@service.endpoint("validate_token", token=STR)
def validate_token(call: Call) -> Data:
    """Whether a token is valid, and whose it is; nothing for users."""
    call.caller.check_role("system", "root")
    if call.get("token") is None:
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'token'. field is required!")
    try:
        user = call.authority.caller_of(call.data["token"]).user
    except ApiRefusal as refusal:
        return {"valid": False, "msg": str(refusal)}
    return {"company": identity.COMPANY_ID, "user": user, "valid": True}


@service.endpoint("create_user", email=STR, name=required(STR), company=STR, given_name=STR, family_name=STR)
def create_user(call: Call) -> Data:
    """Makes a user, as ClearML's web app does for a user who logs in by a new name; no other caller may."""
    call.caller.check_role("system", "root")
    return {"id": call.store.users.create(call.data)}


# --- keys: they are made on the server's machine, not by a call -------------------------------------------------------


@service.endpoint("create_credentials", label=STR)
def create_credentials(call: Call) -> Data:
    """Refused: the server's own key is all there is."""
    raise ApiRefusal(Refusal.INVALID_USER_ID, "protected identity")


@service.endpoint("get_credentials")
def get_credentials(call: Call) -> Data:
    """The key by which this is asked, and no other."""
    used = {"last_used": time.precise(call.store.clock()), "last_used_from": call.client}
    return {"credentials": [{"access_key": call.caller.access_key or call.authority.access_key, **used}]}


@service.endpoint("edit_credentials", access_key=required(STR), label=STR)
def edit_credentials(call: Call) -> Data:
    """Refused for each key, as none was made by a call."""
    raise _no_such_key(call)


@service.endpoint("revoke_credentials", access_key=required(STR))
def revoke_credentials(call: Call) -> Data:
    """Refused for each key, as none was made by a call."""
    raise _no_such_key(call)


def _no_such_key(call: Call) -> ApiRefusal:
    facts = {"user": call.user, "access_key": call.data["access_key"], "company": identity.COMPANY_ID}
    return ApiRefusal(Refusal.NO_SUCH_KEY, "invalid user or invalid access key", **facts)
