"""``tasks.*``: made, read, listed, edited, cloned, deleted."""

from __future__ import annotations

from dataclasses import replace

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import (
    BOOL,
    DICT,
    DOCUMENT_DICT,
    DOCUMENT_PART,
    DOCUMENT_SECTIONS,
    DOCUMENT_TEXT,
    DOCUMENT_TEXTS,
    NEW_TEXTS,
    OBJECTS,
    REFERENCE,
    SECTIONS,
    STR,
    STRINGS,
    check,
    one_of,
    required,
)
from clearml_hpo.server.services.lists import Search, listed, with_id
from clearml_hpo.server.services.sections import checked_sections
from clearml_hpo.server.status_rules import EDITED, QUIET, require_editable
from clearml_hpo.server.store.documents import Document, pick
from clearml_hpo.server.store.lifecycle import Gone
from clearml_hpo.server.store.tasks import TASKS

service = Service("tasks")

_TYPE = one_of(
    *("training", "testing", "inference", "data_processing", "application", "monitor", "controller"),
    *("optimizer", "service", "qc", "custom", "report"),
)
_DOCUMENT = {
    **{"name": DOCUMENT_TEXT, "type": _TYPE, "comment": DOCUMENT_TEXT, "parent": REFERENCE, "project": REFERENCE},
    **{"tags": DOCUMENT_TEXTS, "system_tags": DOCUMENT_TEXTS, "output_dest": DOCUMENT_TEXT},
    **{"script": DOCUMENT_PART, "execution": DOCUMENT_PART, "models": DOCUMENT_PART},
    **{"hyperparams": DOCUMENT_SECTIONS, "configuration": DOCUMENT_SECTIONS},
    **{"container": DOCUMENT_DICT, "runtime": DOCUMENT_DICT},
}
_NEW = {
    **{**_DOCUMENT, "name": required(STR), "type": required(_TYPE), "tags": NEW_TEXTS, "system_tags": NEW_TEXTS},
    "container": replace(DOCUMENT_PART, refusal=Refusal.DATA_VALIDATION),
}


@service.endpoint("create", **_NEW)
def create(call: Call) -> Data:
    """Makes a task."""
    checked_sections(call.data, is_new=True)
    _require_inputs(call)
    return {"id": call.store.tasks.create(call.data)}


@service.endpoint("validate", **_NEW)
def validate(call: Call) -> Data:
    """Refuses what ``tasks.create`` would refuse, and makes nothing."""
    checked_sections(call.data)
    TASKS.named(call.data)
    call.store.tasks.check_references(call.data)
    _require_inputs(call)
    return {}


def _require_inputs(call: Call) -> None:
    """Refuses input models that are not there; output models may be any."""
    for item in (call.get("models") or {}).get("input") or ():
        call.store.models.require(item["model"], ["id"])


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


@service.endpoint(
    "edit",
    **{**_DOCUMENT, "type": replace(_TYPE, refusal=Refusal.DATA_VALIDATION), "task": required(STR), "force": BOOL},
)
def edit(call: Call) -> Data:
    """Sets fields of a task, which must not have been started unless forced."""
    checked_sections(call.data)
    with call.store.db.transaction():
        task = call.store.tasks.require(call.data["task"], ["status"])
        require_editable(task["status"], EDITED, force=bool(call.get("force")))
        return _edited(call, call.data["task"], call.data)


_UPDATE = {
    **{"task": required(STR), "name": DOCUMENT_TEXT, "comment": DOCUMENT_TEXT, "project": REFERENCE},
    **{"tags": DOCUMENT_TEXTS, "system_tags": DOCUMENT_TEXTS, "output__error": DOCUMENT_TEXT},
}


@service.endpoint("update", **_UPDATE)
def update(call: Call) -> Data:
    """Sets what users may change at any status."""
    return _edited(call, call.data["task"], pick(call.data, [name for name in _UPDATE if name != "task"]))


@service.endpoint("update_batch")
def update_batch(call: Call) -> Data:
    """Sets fields of many tasks, a request of ``tasks.update`` in each line; all of them or none."""
    requests = call.batch or [call.data]
    for request in requests:
        if not isinstance(request, dict):
            raise ApiRefusal(Refusal.BAD_REQUEST, "each line must be a JSON object")
        check(_UPDATE, request)
    with call.store.db.transaction():
        return {"updated": sum(bool(_updated(call, request)) for request in requests)}


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
    checked_sections(call.data, prefix="new_task_", is_new=True)
    changes = {name: call.get(f"new_task_{name}") for name in _CLONE}
    changes["name"] = changes["name"] or None  # an empty one is that of the source
    changes |= {"execution": call.get("execution_overrides"), "models": _input_models(call)}
    checked_sections(changes)
    with call.store.db.transaction():
        answer: Data = {}
        name = call.get("new_project_name")
        if name and not changes["project"]:
            changes["project"], made = call.store.projects.ensure(name)
            if made:
                answer["new_project"] = {"id": changes["project"], "name": name}
        if changes["project"]:
            call.store.projects.require(changes["project"], ["id"])
        return {"id": call.store.tasks.clone(call.data["task"], changes), **answer}


def _input_models(call: Call) -> Document | None:
    given = call.get("new_task_input_models")
    now = time.stored(call.store.clock())
    return None if given is None else {"input": [{**item, "updated": now} for item in given], "output": []}


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
        call.store.tasks.write(call.data["task"], {})  # of an unknown task, too, ClearML's server says nothing
    return {}


@service.endpoint(
    "delete",
    task=required(STR),
    status_reason=STR,
    status_message=STR,
    force=BOOL,
    return_file_urls=BOOL,
    delete_output_models=BOOL,
)
def delete(call: Call) -> Data:
    """Removes a task."""
    return deleted(call, call.data["task"])


@service.endpoint("move", ids=required(STRINGS), project=STR, project_name=STR)
def move(call: Call) -> Data:
    """Moves tasks to a project, which is made if it is named and missing."""
    with call.store.db.transaction():
        project = destination(call)
        for id_ in call.data["ids"]:
            call.store.tasks.move(id_, project)
    return {"project_id": project}


def destination(call: Call) -> str | None:
    """The project that a call moves to: by id, by a name that is made if it is missing, or the root."""
    if call.get("project"):
        return str(call.store.projects.require(call.data["project"], ["id"])["id"])
    if call.get("project_name"):
        return call.store.projects.ensure(call.data["project_name"])[0]
    if "project" in call.data:
        return None
    raise ApiRefusal(Refusal.MISSING_FIELD, "project or project_name is required")


def _edited(call: Call, id_: str, changes: Document) -> Data:
    """Sets fields of a task; the answer says which, by whom and when."""
    done = call.store.tasks.edit(id_, changes)
    if not done:
        return {"fields": {}, "updated": 0}
    now = time.precise(call.store.clock())
    shown = {**done, "last_change": now, "last_changed_by": identity.caller()}
    return {"fields": shown if done.keys() <= QUIET else {**shown, "last_update": now}, "updated": 1}


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
