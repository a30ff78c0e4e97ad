"""``models.*``: made by tasks, listed, edited, published, deleted."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import (
    BOOL,
    DICT,
    INT,
    OBJECTS,
    STR,
    STRINGS,
    required,
)
from clearml_hpo.server.services.lists import Search, listed, with_id
from clearml_hpo.server.services.many import each_of
from clearml_hpo.server.services.metadata import by_key
from clearml_hpo.server.services.tasks import destination
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.models import MODELS
from clearml_hpo.server.store.projections import Projection
from clearml_hpo.server.store.query import Page

service = Service("models")

_DOCUMENT = {
    "name": STR,
    "uri": STR,
    "comment": STR,
    "tags": STRINGS,
    "system_tags": STRINGS,
    "framework": STR,
    "design": DICT,
    "labels": DICT,
    "ready": BOOL,
    "project": STR,
    "parent": STR,
    "task": STR,
    "iteration": INT,
}


@service.endpoint("create", **{**_DOCUMENT, "name": required(STR), "uri": required(STR), "id": STR})
def create(call: Call) -> Data:
    """Makes a model."""
    return {"created": True, "id": call.store.models.create({**call.data, "metadata": by_key(call.get("metadata"))})}


@service.endpoint("edit", **{**_DOCUMENT, "model": required(STR)})
def edit(call: Call) -> Data:
    """Sets fields of a model."""
    given = {**call.data, **({"metadata": by_key(call.get("metadata"))} if call.get("metadata") is not None else {})}
    return {"fields": call.store.models.edit(call.data["model"], given), "updated": 1}


@service.endpoint("update", **{**_DOCUMENT, "model": required(STR)})
def update(call: Call) -> Data:
    """Sets fields of a model."""
    return edit(call)


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
        model = call.store.models.require(id_, ["task"])
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
    """Removes one model; a published one only with force."""
    with call.store.db.transaction():
        model = call.store.models.require(id_)
        if model.get("ready") and model.get("task") and not call.get("force"):
            raise ApiRefusal(Refusal.MODEL_IS_READY, "use force=True", model=id_)
        call.store.models.delete(id_)
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
    "add_or_update_metadata", "2.13", model=required(STR), metadata=required(OBJECTS), replace_metadata=BOOL
)
def add_or_update_metadata(call: Call) -> Data:
    """Sets some metadata of a model, or all of it where ``replace_metadata`` says so."""
    with call.store.db.transaction():
        model = call.store.models.require(call.data["model"], ["metadata"])
        kept = {} if call.get("replace_metadata") else model["metadata"]
        call.store.models.set_metadata(model["id"], {**kept, **by_key(call.get("metadata"))})
    return {"updated": 1}


@service.endpoint("delete_metadata", "2.13", model=required(STR), keys=required(STRINGS))
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
