"""``tasks.*``: made, read, listed, edited, cloned, deleted."""

from __future__ import annotations

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import (
    BOOL,
    DICT,
    OBJECTS,
    SECTIONS,
    STR,
    STRINGS,
    check,
    required,
)
from clearml_hpo.server.services.lists import Search, listed, with_id
from clearml_hpo.server.services.sections import checked_sections
from clearml_hpo.server.store.documents import Document, pick
from clearml_hpo.server.store.lifecycle import Gone
from clearml_hpo.server.store.tasks import QUIET, TASKS

service = Service("tasks")

_DOCUMENT = {
    "name": STR,
    "type": STR,
    "comment": STR,
    "parent": STR,
    "project": STR,
    "tags": STRINGS,
    "system_tags": STRINGS,
    "script": DICT,
    "execution": DICT,
    "hyperparams": SECTIONS,
    "configuration": SECTIONS,
    "models": DICT,
    "container": DICT,
    "runtime": DICT,
    "output_dest": STR,
}


@service.endpoint("create", **{**_DOCUMENT, "name": required(STR), "type": required(STR)})
def create(call: Call) -> Data:
    """Makes a task."""
    checked_sections(call.data)
    return {"id": call.store.tasks.create(call.data)}


@service.endpoint("validate", **{**_DOCUMENT, "name": required(STR), "type": required(STR)})
def validate(call: Call) -> Data:
    """Refuses what ``tasks.create`` would refuse, and makes nothing."""
    checked_sections(call.data)
    TASKS.check_name(call.data["name"])
    if call.get("project"):
        call.store.projects.require(call.data["project"], ["id"])
    return {}


@service.endpoint("get_by_id", task=required(STR))
def get_by_id(call: Call) -> Data:
    """One whole task."""
    return {"task": call.store.tasks.get(call.data["task"])}


@service.endpoint("get_by_id_ex")
def get_by_id_ex(call: Call) -> Data:
    """Some tasks with their references filled in."""
    with_id(call)
    return get_all_ex(call)


@service.endpoint("get_all")
def get_all(call: Call) -> Data:
    """Tasks that match."""
    return listed(call, TASKS, _search(call))


@service.endpoint("get_all_ex")
def get_all_ex(call: Call) -> Data:
    """Tasks that match, with their references filled in."""
    return listed(call, TASKS, _search(call), joins=True)


def _search(call: Call) -> Search:
    return lambda wanted, page: call.store.tasks.search(call.data, wanted.fields, page=page)[0]


@service.endpoint("get_types", projects=STRINGS)
def get_types(call: Call) -> Data:
    """The types of the tasks there are, in some projects and below them, or in all."""
    projects = call.store.projects.with_descendants(call.get("projects") or [])
    return {"types": call.store.statistics.types(projects)}


@service.endpoint("edit", **{**_DOCUMENT, "task": required(STR), "force": BOOL})
def edit(call: Call) -> Data:
    """Sets fields of a task, which must not have been started unless forced."""
    checked_sections(call.data)
    with call.store.db.transaction():
        require_created(call)
        done = call.store.tasks.edit(call.data["task"], call.data)
    return {"fields": {**done, **changed(call, done)}, "updated": 1}


_UPDATE = {
    **{"task": required(STR), "name": STR, "comment": STR, "project": STR, "parent": STR},
    **{"tags": STRINGS, "system_tags": STRINGS},
}


@service.endpoint("update", **_UPDATE)
def update(call: Call) -> Data:
    """Sets what people may change at any status."""
    done = _updated(call, call.data)
    return {"fields": {**done, **changed(call, done)}, "updated": 1}


@service.endpoint("update_batch")
def update_batch(call: Call) -> Data:
    """Sets fields of many tasks, a request of ``tasks.update`` in each line; all of them or none."""
    requests = call.batch or [call.data]
    for request in requests:
        if not isinstance(request, dict):
            raise ApiRefusal(Refusal.BAD_REQUEST, "each line must be a JSON object")
        check(_UPDATE, request)
    with call.store.db.transaction():
        for request in requests:
            _updated(call, request)
    return {"updated": len(requests)}


def _updated(call: Call, request: Document) -> Document:
    return call.store.tasks.edit(request["task"], pick(request, [name for name in _UPDATE if name != "task"]))


@service.endpoint(
    "clone",
    task=required(STR),
    new_task_name=STR,
    new_task_comment=STR,
    new_task_parent=STR,
    new_task_project=STR,
    new_task_tags=STRINGS,
    new_task_system_tags=STRINGS,
    new_task_hyperparams=SECTIONS,
    new_task_configuration=SECTIONS,
    new_task_container=DICT,
    new_task_input_models=OBJECTS,
    new_project_name=STR,
    execution_overrides=DICT,
)
def clone(call: Call) -> Data:
    """Makes a task with the set-up of another."""
    checked_sections(call.data, prefix="new_task_")
    changes = {name: call.get(f"new_task_{name}") for name in _CLONE}
    changes |= {"execution": call.get("execution_overrides"), "models": _input_models(call)}
    checked_sections(changes)
    with call.store.db.transaction():
        answer: Data = {}
        name = call.get("new_project_name")
        if name and not changes["project"]:
            changes["project"], made = call.store.projects.ensure(name)
            if made:
                answer["new_project"] = {"id": changes["project"], "name": name}
        return {"id": call.store.tasks.clone(call.data["task"], changes), **answer}


def _input_models(call: Call) -> Document | None:
    given = call.get("new_task_input_models")
    return None if given is None else {"input": given, "output": []}


_CLONE = (
    "name",
    "comment",
    "parent",
    "project",
    "tags",
    "system_tags",
    "hyperparams",
    "configuration",
    "container",
)


@service.endpoint("ping", task=required(STR))
def ping(call: Call) -> Data:
    """A task is alive."""
    with call.store.db.transaction():
        call.store.tasks.require(call.data["task"], ["id"])
        call.store.tasks.write(call.data["task"], {})
    return {}


@service.endpoint("delete", task=required(STR), force=BOOL, return_file_urls=BOOL, delete_output_models=BOOL)
def delete(call: Call) -> Data:
    """Removes a task."""
    return deleted(call, call.data["task"])


@service.endpoint("move", ids=required(STRINGS), project=STR, project_name=STR)
def move(call: Call) -> Data:
    """Moves tasks to a project, which is made if it is named and missing."""
    with call.store.db.transaction():
        project = call.get("project") or call.store.projects.ensure(call.get("project_name", ""))[0]
        moved = [call.store.tasks.edit(id_, {"project": project}) for id_ in call.data["ids"]]
    return {"project_id": project, "moved": len(moved)}


def require_created(call: Call) -> Document:
    """The task of a call that only a created task allows, or any with force."""
    task = call.store.tasks.require(call.data["task"], ["status"])
    if task["status"] != "created" and not call.get("force"):
        raise ApiRefusal(Refusal.INVALID_TASK_STATUS, expected="created", status=task["status"])
    return task


def changed(call: Call, done: Document) -> Document:
    """Who changed a task and when, as answers to edits show it."""
    now = time.precise(call.store.clock())
    shown = {"last_change": now, "last_changed_by": identity.caller()}
    return shown if done and done.keys() <= QUIET else {**shown, "last_update": now}


def deleted(call: Call, id_: str) -> Data:
    """Removes one task; the answer says what is gone with it."""
    delete_models = call.get("delete_output_models", True)
    gone = call.store.lifecycle.delete(id_, force=bool(call.get("force")), delete_models=delete_models)
    return {
        "deleted": True,
        "updated_children": gone.updated_children,
        "updated_models": gone.updated_models,
        "deleted_models": len(gone.models),
        "urls": urls(gone) if call.get("return_file_urls") else None,
    }


def urls(gone: Gone) -> Data:
    """The files that belonged to a task which is gone or reset."""
    return {
        "model_urls": [model["uri"] for model in gone.models if model.get("uri")],
        "event_urls": gone.event_urls,
        "artifact_urls": gone.artifact_urls,
    }
