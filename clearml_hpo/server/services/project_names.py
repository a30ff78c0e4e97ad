"""``projects.*``: names in use in some projects, as lists to choose from."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, DICT, LIST, STR, STRINGS
from clearml_hpo.server.services.lists import projects_of
from clearml_hpo.server.store.documents import pick
from clearml_hpo.server.store.names import ENTITIES

service = Service("projects")

_STATES: dict[str, dict[str, Any]] = {
    "active": {"system_tags": ["-archived"]},
    "archived": {"system_tags": ["archived"]},
}


def _projects(call: Call) -> list[str]:
    """The projects that a call is about, with those below unless it says no; none: all."""
    return call.store.names.with_subprojects(projects_of(call), call.get("include_subprojects", True))


def _tags(entity: str, version: str) -> None:
    @service.endpoint(f"get_{entity}_tags", version, projects=STRINGS, include_system=BOOL, filter=DICT)
    def answer(call: Call) -> Data:
        """All tags in use."""
        names, condition = call.store.names, call.get("filter", {})
        shown: Data = {"tags": names.tags(entity, "tags", _projects(call), condition)}
        if call.get("include_system"):
            shown["system_tags"] = names.tags(entity, "system_tags", _projects(call), condition)
        elif entity == "project":
            shown["system_tags"] = []
        return shown


for _entity, _version in (("task", "2.8"), ("model", "2.8"), ("project", "1.0")):
    _tags(_entity, _version)


@service.endpoint("get_task_parents", "2.12", projects=LIST, tasks_state=STR, include_subprojects=BOOL)
def get_task_parents(call: Call) -> Data:
    """The parents of tasks that are not archived, that are, or (``tasks_state`` null) of all."""
    state = call.data.get("tasks_state", "active")
    if state is not None and state not in _STATES:
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'tasks_state': active or archived, not {state!r:.100}")
    found = call.store.names.parents(_projects(call), _STATES[state] if state else {})
    for parent in found:
        if "project" in parent:
            parent["project"] = pick(call.store.projects.require(parent["project"], ["name"]), ["id", "name"])
    return {"parents": found}


@service.endpoint("get_user_names", projects=LIST, entity=STR, include_subprojects=BOOL)
def get_user_names(call: Call) -> Data:
    """Who made the tasks, models or projects there are."""
    entity = call.get("entity", "task")
    if entity not in ENTITIES:
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'entity': {', '.join(ENTITIES)}, not {entity!r:.100}")
    return {"users": call.store.names.users(entity, _projects(call))}
