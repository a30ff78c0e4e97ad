"""``models.*``: made by tasks, listed, edited, published, deleted."""

from __future__ import annotations

from clearml_hpo.server import identity
from clearml_hpo.server.clock import is_time
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import (
    BOOL,
    DICT,
    DOCUMENT_FLAG,
    DOCUMENT_PART,
    DOCUMENT_TEXT,
    DOCUMENT_TEXTS,
    INT,
    REFERENCE,
    STR,
    STRINGS,
    WORDS,
    required,
)
from clearml_hpo.server.services.bulk_answers import each_of
from clearml_hpo.server.services.lists import Search, listed, with_id
from clearml_hpo.server.services.metadata import METADATA, by_key
from clearml_hpo.server.services.tasks import destination
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.models import MODELS
from clearml_hpo.server.store.projections import Projection
from clearml_hpo.server.store.query import Page

service = Service("models")

_NEW = {
    **{"name": required(STR), "uri": required(STR), "id": STR, "comment": STR, "framework": STR, "iteration": INT},
    **{"tags": STRINGS, "system_tags": STRINGS, "design": DICT, "labels": DICT, "metadata": DICT, "ready": BOOL},
    **{"project": STR, "parent": STR, "task": STR},
}
_EDITED = {
    **{"model": required(STR), "name": DOCUMENT_TEXT, "uri": DOCUMENT_TEXT, "comment": DOCUMENT_TEXT},
    **{"framework": DOCUMENT_TEXT, "tags": DOCUMENT_TEXTS, "system_tags": DOCUMENT_TEXTS, "iteration": INT},
    **{"design": DOCUMENT_PART, "labels": DOCUMENT_PART, "metadata": DICT, "ready": DOCUMENT_FLAG},
    **{"project": REFERENCE, "parent": REFERENCE, "task": REFERENCE},
}


@service.endpoint("create", **_NEW)
def create(call: Call) -> Data:
    """Makes a model."""
    if call.data.get("ready", True) is None:
        raise ApiRefusal(Refusal.DATA_VALIDATION, ready="Field is required")
    if call.get("task"):
        call.store.tasks.require(call.data["task"], ["id"])
    if call.get("project"):
        require_project(call, call.data["project"])
    return {"created": True, "id": call.store.models.create({**call.data, "metadata": by_key(call.get("metadata"))})}


def require_project(call: Call, id_: str) -> None:
    """Refuses a project that is not there, as ``models.create`` does."""
    try:
        call.store.projects.require(id_, ["id"])
    except ApiRefusal:
        raise ApiRefusal(Refusal.VALIDATION, "Invalid project ids", project=id_) from None


@service.endpoint("edit", **_EDITED)
def edit(call: Call) -> Data:
    """Sets fields of a model."""
    return _edited(call)


@service.endpoint("update", **{**_EDITED, "task": STR, "created": STR, "ui_cache": DICT})
def update(call: Call) -> Data:
    """Sets fields of a model; ``created`` stays as it is."""
    created = call.data.get("created", "")
    if "created" in call.data and not (isinstance(created, str) and is_time(created)):
        raise ApiRefusal(Refusal.DATA_VALIDATION, created=f"cannot parse date {created!r:.100}")
    if "task" in call.data:
        call.store.tasks.require(str(call.data["task"]), ["id"])
    return _edited(call)


def _edited(call: Call) -> Data:
    given = {**call.data, **({"metadata": by_key(call.get("metadata"))} if call.get("metadata") is not None else {})}
    if call.get("uri"):  # what was shown of another file no longer holds
        given.setdefault("ui_cache", {})
    return {"fields": call.store.models.edit(call.data["model"], given), "updated": 1}


@service.withdrawn_endpoint(
    "update_for_task",
    "2.13",
    "tasks.add_or_update_model",
    task=required(STR),
    uri=STR,
    name=STR,
    comment=STR,
    tags=STRINGS,
    system_tags=STRINGS,
    iteration=INT,
    override_model_id=STR,
)
def update_for_task(call: Call) -> Data:
    """Makes or edits the output model of a task: the one that is named, or that has this uri."""
    task = call.store.tasks.require(call.data["task"], ["project", "name"])
    names = ("uri", "name", "comment", "tags", "system_tags", "iteration")
    given = {name: call.data[name] for name in names if call.get(name) is not None}
    with call.store.db.transaction():
        id_ = call.get("override_model_id") or _of_task(call, task["id"], given.get("uri"))
        if id_:
            fields = call.store.models.edit(id_, {**given, "task": task["id"]})
            return {"id": id_, "created": False, "updated": 1, "fields": fields}
        made = {"name": task["name"], "uri": "", **given, "task": task["id"], "project": task.get("project")}
        return {"id": call.store.models.create({**made, "ready": False}), "created": True, "updated": 0, "fields": {}}


def _of_task(call: Call, task: str, uri: str | None) -> str | None:
    found, _ = call.store.models.search({"task": [task], "uri": [uri or ""], "page_size": 1}, ["id"])
    return str(found[0]["id"]) if found else None


@service.endpoint("get_by_id", model=required(STR))
def get_by_id(call: Call) -> Data:
    """One model."""
    model = call.store.models.require(call.data["model"])
    return {"model": _with_metrics(call, [model])[0]}


@service.withdrawn_endpoint("get_by_task_id", "2.13", "models.get_by_id/get_all apis", task=required(STR))
def get_by_task_id(call: Call) -> Data:
    """The model that a task made."""
    found, _ = call.store.models.search({"task": [call.data["task"]], "page_size": 1}, MODELS.chosen(None))
    if not found:
        raise ApiRefusal(Refusal.INVALID_MODEL_ID, task=call.data["task"])
    return {"model": _with_metrics(call, found)[0]}


@service.endpoint("get_all")
def get_all(call: Call) -> Data:
    """Models that match."""
    return listed(call, MODELS, _search(call))


@service.endpoint("get_all_ex")
def get_all_ex(call: Call) -> Data:
    """Models that match, with their references filled in."""
    return listed(call, MODELS, _search(call), joins=True)


@service.endpoint("get_by_id_ex")
def get_by_id_ex(call: Call) -> Data:
    """Some models with their references filled in."""
    with_id(call)
    return get_all_ex(call)


def _search(call: Call) -> Search:
    def search(wanted: Projection, page: Page) -> list[Document]:
        found, _ = call.store.models.search(call.data, MODELS.chosen(wanted.fields), page)
        return _with_metrics(call, found)

    return search


def _with_metrics(call: Call, models: list[Document]) -> list[Document]:
    metrics = call.store.scalars.last_metrics([model["id"] for model in models])
    for model in models:
        model["last_metrics"] = metrics.get(model["id"], {})
    return models


@service.endpoint("get_frameworks", projects=STRINGS)
def get_frameworks(call: Call) -> Data:
    """The frameworks of the models there are."""
    return {"frameworks": call.store.names.frameworks(call.get("projects", []))}


def _publish(call: Call, id_: str, *, with_task: bool) -> Data:
    """Makes one model final, and with it the task that made it."""
    with call.store.db.transaction():
        model = call.store.models.require(id_, ["task", "ready"])
        if model.get("ready"):
            raise ApiRefusal(Refusal.MODEL_IS_READY, company=identity.COMPANY_ID, model=id_)
        call.store.models.edit(id_, {"ready": True})
        if not (with_task and model.get("task")):
            return {"updated": 1, "published_task": {}}
        force = bool(call.get("force_publish_task"))
        fields = call.store.lifecycle.change(model["task"], "published", force=force)
    return {"updated": 1, "published_task": {"id": model["task"], "data": {"updated": 1, "fields": fields}}}


@service.endpoint("set_ready", model=required(STR), publish_task=BOOL, force_publish_task=BOOL)
def set_ready(call: Call) -> Data:
    """Publishes a model."""
    return _publish(call, call.data["model"], with_task=bool(call.get("publish_task")))


@service.endpoint("publish_many", ids=required(STRINGS), publish_tasks=BOOL, force_publish_task=BOOL)
def publish_many(call: Call) -> Data:
    """Publishes models."""
    with_tasks = bool(call.get("publish_tasks"))
    return each_of(call.data["ids"], lambda id_: _publish(call, id_, with_task=with_tasks))


def _delete(call: Call, id_: str) -> Data:
    """Removes one model; its task's list of models no longer has it."""
    with call.store.db.transaction():
        model = call.store.models.delete(id_)
        if model.get("task"):
            call.store.tasks.forget_model(model["task"], id_)
    return {"deleted": True, "url": model.get("uri", "")}


@service.endpoint("delete", model=required(STR), force=BOOL)
def delete(call: Call) -> Data:
    """Removes a model."""
    return _delete(call, call.data["model"])


@service.endpoint("delete_many", ids=required(STRINGS), force=BOOL)
def delete_many(call: Call) -> Data:
    """Removes models."""
    return each_of(call.data["ids"], lambda id_: _delete(call, id_))


@service.endpoint("move", ids=required(STRINGS), project=STR, project_name=STR)
def move(call: Call) -> Data:
    """Moves models to a project, which is made if it is named and missing."""
    with call.store.db.transaction():
        project = destination(call)
        for id_ in call.data["ids"]:
            call.store.models.move(id_, project)
    return {"project_id": project}


@service.endpoint(
    "add_or_update_metadata", "2.13", model=required(STR), metadata=required(METADATA), replace_metadata=BOOL
)
def add_or_update_metadata(call: Call) -> Data:
    """Sets some metadata of a model, or all of it where ``replace_metadata`` says so."""
    with call.store.db.transaction():
        model = call.store.models.require(call.data["model"], ["metadata"])
        kept = {} if call.get("replace_metadata") else model["metadata"]
        call.store.models.set_metadata(model["id"], {**kept, **by_key(call.get("metadata"))})
    return {"updated": 1}


@service.endpoint("delete_metadata", "2.13", model=required(STR), keys=required(WORDS))
def delete_metadata(call: Call) -> Data:
    """Removes some metadata of a model."""
    gone = set(call.data["keys"])
    with call.store.db.transaction():
        model = call.store.models.require(call.data["model"], ["metadata"])
        kept = {key: item for key, item in model["metadata"].items() if key not in gone}
        call.store.models.set_metadata(model["id"], kept)
    return {"updated": 1}


def _archive(action: str, archived: bool) -> None:
    @service.endpoint(action, ids=required(STRINGS))
    def answer(call: Call) -> Data:
        """Hides models, or shows them again."""

        def one(id_: str) -> Data:
            with call.store.db.transaction():
                tags = set(call.store.models.require(id_, ["system_tags"])["system_tags"]) - {"archived"}
                call.store.models.edit(id_, {"system_tags": sorted(tags | ({"archived"} if archived else set()))})
            return {}

        return each_of(call.data["ids"], one)


_archive("archive_many", True)
_archive("unarchive_many", False)
