"""``users.*``: the one user there is."""

from __future__ import annotations

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import STR

service = Service("users")

_CREATED = "2024-01-01T00:00:00.000000+00:00"


@service.endpoint("get_current_user")
def get_current_user(call: Call) -> Data:
    """Who the caller is."""
    return {
        "user": {
            "company": {"id": identity.COMPANY_ID, "name": identity.COMPANY_NAME},
            "created": _CREATED,
            "id": identity.USER_ID,
            "name": identity.USER_NAME,
            "role": "user",
        },
        "getting_started": {
            "agentName": "clearml",
            "configure": "clearml-init",
            "install": "pip install clearml",
            "packageName": "clearml",
        },
        "settings": {"max_download_items": 50000},
    }


@service.endpoint("get_all")
def get_all(call: Call) -> Data:
    """All users."""
    return {"users": [{"id": identity.USER_ID, "name": identity.USER_NAME}]}


@service.endpoint("get_all_ex")
def get_all_ex(call: Call) -> Data:
    """All users."""
    return get_all(call)


@service.endpoint("get_by_id", user=STR)
def get_by_id(call: Call) -> Data:
    """One user."""
    return {"user": {"id": identity.USER_ID, "name": identity.USER_NAME, "company": identity.COMPANY_ID}}
