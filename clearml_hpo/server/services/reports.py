"""``reports.*``: texts that users write in ClearML's web app; tasks of a type of their own, in hidden projects."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import STR, STRINGS, required
from clearml_hpo.server.services.lists import listed
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.projections import Projection
from clearml_hpo.server.store.query import Page
from clearml_hpo.server.store.tasks import TASKS

service = Service("reports")

_FOLDER = ".reports"
_TAGS = ["hidden", "reports"]
_TEXTS = {"comment": STR, "report": STR, "tags": STRINGS, "report_assets": STRINGS}


@service.endpoint("create", name=required(STR), project=STR, **_TEXTS)
def create(call: Call) -> Data:
    """Makes a report, in a hidden project below the one that is named."""
    _check_name(call.data["name"])
    with call.store.db.transaction():
        above = call.get("project")
        place = f"{call.store.projects.require(above, ['name'])['name']}/{_FOLDER}" if above else _FOLDER
        project, _ = call.store.projects.ensure(place, {"system_tags": _TAGS})
        made = call.store.tasks.create({"name": call.data["name"], "type": "report", "project": project})
        call.store.tasks.write(made, {**_given(call), "system_tags": _TAGS})
    return {"id": made, "project_id": project}


@service.endpoint("update", task=required(STR), name=STR, **_TEXTS)
def update(call: Call) -> Data:
    """Changes a report that is not published."""
    if (name := call.get("name")) is not None:
        _check_name(name)
    with call.store.db.transaction():
        task = call.store.tasks.require(call.data["task"], ["type", "status"])
        if task["type"] != "report":
            raise ApiRefusal(Refusal.NOT_A_REPORT, id=task["id"])
        if task["status"] != "created":
            raise ApiRefusal(Refusal.INVALID_TASK_STATUS, expected="created", status=task["status"])
        changes = _given(call) | ({"name": name} if name else {})
        return {"updated": call.store.tasks.write(task["id"], changes) if changes else 0}


def _given(call: Call) -> Document:
    return {name: call.data[name] for name in _TEXTS if call.get(name) is not None}


def _check_name(name: str) -> None:
    if len(name) < TASKS.shortest_name:
        detail = f"error for field 'name': value '{name}' length is lower than allowed minimum '{TASKS.shortest_name}'."
        raise ApiRefusal(Refusal.VALIDATION, detail)


@service.endpoint("get_all_ex")
def get_all_ex(call: Call) -> Data:
    """Reports that match, with their references filled in."""
    return _listed(call, {"type": ["report"], "search_hidden": True})


@service.endpoint("get_task_data")
def get_task_data(call: Call) -> Data:
    """The tasks that a report shows, whatever they are; their plots and scalars have calls of their own."""
    return _listed(call, {})


@service.endpoint("get_tags")
def get_tags(call: Call) -> Data:
    """The tags of reports."""
    return {"tags": call.store.names.tags("task", "tags", [], {"type": ["report"]})}


def _listed(call: Call, also: dict[str, Any]) -> Data:
    def search(wanted: Projection, page: Page) -> list[Document]:
        return call.store.tasks.search({**call.data, **also}, wanted.fields, page=page)[0]

    return listed(call, TASKS, search, joins=True)
