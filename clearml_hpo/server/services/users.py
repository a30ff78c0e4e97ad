"""``users.*``: the user of the server's own key, and users who logged in by name; what they prefer."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, DICT, STR, STRINGS, required
from clearml_hpo.server.services.lists import listed
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.projections import Projection
from clearml_hpo.server.store.query import Page
from clearml_hpo.server.store.users import USERS

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


@service.endpoint("get_all")
def get_all(call: Call) -> Data:
    """Users that match."""
    return listed(call, USERS, lambda wanted, page: call.store.users.search(call.data, page))


@service.endpoint("get_all_ex", active_in_projects=STRINGS)
def get_all_ex(call: Call) -> Data:
    """Users that match, of those who have tasks in some projects or below them where these are named."""
    projects = call.store.projects.with_descendants(call.get("active_in_projects") or [])

    def search(wanted: Projection, page: Page) -> list[Document]:
        return call.store.users.search(call.data, page, active_in=projects)

    return listed(call, USERS, search, joins=True)


@service.endpoint("get_by_id", user=required(STR))
def get_by_id(call: Call) -> Data:
    """One user."""
    return {"user": call.store.users.require(call.data["user"])}


@service.endpoint("get_preferences")
def get_preferences(call: Call) -> Data:
    """What the caller has set in the web app."""
    return {"preferences": call.store.users.preferences(call.user)}


@service.endpoint("set_preferences", preferences=required(DICT), return_updated=BOOL)
def set_preferences(call: Call) -> Data:
    """Keeps what the caller sets in the web app; other preferences stay as they are."""
    _check_keys(call.data["preferences"])
    kept = call.store.users.set_preferences(call.user, call.data["preferences"])
    return {"updated": 1, "fields": {"preferences": kept} if call.get("return_updated") else {}}


def _check_keys(value: Any) -> None:
    for each in value if isinstance(value, list) else ():
        _check_keys(each)
    for key, below in value.items() if isinstance(value, dict) else ():
        if key.startswith("$") or "." in key:
            detail = f"Key {key:.100} is invalid. Keys cannot start with '$' or contain '.'."
            raise ApiRefusal(Refusal.INVALID_VALUE, detail)
        _check_keys(below)
