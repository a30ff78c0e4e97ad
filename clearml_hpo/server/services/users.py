"""``users.*``: the user of the server's own key, and people who logged in by name; what they prefer."""

from __future__ import annotations

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL, DICT, STR, required
from clearml_hpo.server.services.lists import LIST
from clearml_hpo.server.store.documents import pick

service = Service("users")


@service.endpoint("get_current_user", get_supported_features=BOOL)
def get_current_user(call: Call) -> Data:
    """Who the caller is."""
    return {
        "user": {
            **call.store.users.require(call.user),
            "company": {"id": identity.COMPANY_ID, "name": identity.COMPANY_NAME},
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


@service.endpoint("get_all", **LIST)
def get_all(call: Call) -> Data:
    """Users that match."""
    fields = call.get("only_fields")
    found = call.store.users.search(call.data)
    return {"users": [pick(user, ["id", *fields]) for user in found] if fields else found}


@service.endpoint("get_all_ex", **LIST)
def get_all_ex(call: Call) -> Data:
    """Users that match."""
    return get_all(call)


@service.endpoint("get_by_id", user=STR)
def get_by_id(call: Call) -> Data:
    """One user; the caller where none is named."""
    return {"user": call.store.users.require(call.get("user", call.user))}


@service.endpoint("get_preferences")
def get_preferences(call: Call) -> Data:
    """What the caller has set in the web app."""
    return {"preferences": call.store.users.preferences(call.user)}


@service.endpoint("set_preferences", preferences=required(DICT), return_updated=BOOL)
def set_preferences(call: Call) -> Data:
    """Keeps what the caller sets in the web app; other preferences stay as they are."""
    kept = call.store.users.set_preferences(call.user, call.data["preferences"])
    return {"updated": 1, "fields": {"preferences": kept} if call.get("return_updated") else {}}
