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
from clearml_hpo.server.services.lists import LIST, listed
from clearml_hpo.server.services.many import each_of
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.joins import joined
from clearml_hpo.server.store.models import MODELS

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
_LIST = {**LIST, "ready": BOOL}


@service.endpoint("create", **{**_DOCUMENT, "name": required(STR), "uri": required(STR), "id": STR})
def create(call: Call) -> Data:
    """Makes a model."""
    return {"created": True, "id": call.store.models.create({**call.data, "metadata": _metadata(call)})}


@service.endpoint("edit", **{**_DOCUMENT, "model": required(STR)})
def edit(call: Call) -> Data:
    """Sets fields of a model."""
    return {"fields": call.store.models.edit(call.data["model"], call.data), "updated": 1}


@service.endpoint("update", **{**_DOCUMENT, "model": required(STR)})
def update(call: Call) -> Data:
    """Sets fields of a model."""
    return edit(call)


@service.endpoint("update_for_task", task=required(STR), uri=STR, name=STR, comment=STR, tags=STRINGS, iteration=INT)
def update_for_task(call: Call) -> Data:
    """Makes or edits the output model of a task that has this uri."""
    task = call.store.tasks.require(call.data["task"], ["project", "name"])
    given = {name: call.data.get(name) for name in ("uri", "name", "comment", "tags", "iteration")}
    with call.store.db.transaction():
        found, _ = call.store.models.search({"task": [task["id"]], "uri": [given["uri"]], "page_size": 1}, ["id"])
        if found:
            fields = call.store.models.edit(found[0]["id"], given)
            return {"id": found[0]["id"], "created": False, "updated": 1, "fields": fields}
        named = {**given, "name": given["name"] or task["name"], "uri": given["uri"] or ""}
        made = {**named, "task": task["id"], "project": task.get("project"), "ready": False}
        return {"id": call.store.models.create(made), "created": True, "updated": 0, "fields": {}}


@service.endpoint("get_by_id", model=required(STR))
def get_by_id(call: Call) -> Data:
    """One model."""
    model = call.store.models.require(call.data["model"])
    return {"model": _with_metrics(call, [model])[0]}


@service.endpoint("get_by_task_id", task=required(STR))
def get_by_task_id(call: Call) -> Data:
    """The model that a task made."""
    found, _ = call.store.models.search({"task": [call.data["task"]], "page_size": 1}, MODELS.chosen(None))
    if not found:
        raise ApiRefusal(Refusal.INVALID_MODEL_ID, task=call.data["task"])
    return {"model": _with_metrics(call, found)[0]}


@service.endpoint("get_all", **_LIST)
def get_all(call: Call) -> Data:
    """Models that match."""
    fields = call.get("only_fields") or None
    found, page = call.store.models.search(call.data, MODELS.chosen(fields))
    return listed("models", _with_metrics(call, found), page, fields)


@service.endpoint("get_all_ex", **_LIST)
def get_all_ex(call: Call) -> Data:
    """Models that match, with their references filled in."""
    fields = call.get("only_fields") or None
    found, page = call.store.models.search(call.data, MODELS.chosen(fields))
    _with_metrics(call, found)
    call.store.joins.fill(MODELS, found, fields)
    return listed("models", found, page, joined(MODELS, fields))


@service.endpoint("get_by_id_ex", **_LIST)
def get_by_id_ex(call: Call) -> Data:
    """Some models with their references filled in."""
    return get_all_ex(call)


def _with_metrics(call: Call, models: list[Document]) -> list[Document]:
    metrics = call.store.scalars.last_metrics([model["id"] for model in models])
    for model in models:
        model["last_metrics"] = metrics.get(model["id"], {})
    return models


@service.endpoint("get_frameworks", projects=STRINGS)
def get_frameworks(call: Call) -> Data:
    """The frameworks of the models there are."""
    return {"frameworks": call.store.names.frameworks(call.get("projects", []))}


@service.endpoint("set_ready", model=required(STR), publish_task=BOOL, force_publish_task=BOOL)
def set_ready(call: Call) -> Data:
    """Publishes a model."""
    call.store.models.edit(call.data["model"], {"ready": True})
    return {"updated": 1, "published_task": {}}


@service.endpoint("delete", model=required(STR), force=BOOL)
def delete(call: Call) -> Data:
    """Removes a model; a published one only with force."""
    with call.store.db.transaction():
        model = call.store.models.require(call.data["model"])
        if model.get("ready") and model.get("task") and not call.get("force"):
            raise ApiRefusal(Refusal.MODEL_IS_READY, "use force=True", model=model["id"])
        call.store.models.delete(model["id"])
    return {"deleted": True, "url": model.get("uri", "")}


@service.endpoint("add_or_update_metadata", "2.13", model=required(STR), metadata=required(OBJECTS))
def add_or_update_metadata(call: Call) -> Data:
    """Sets some metadata of a model."""
    with call.store.db.transaction():
        model = call.store.models.require(call.data["model"], ["metadata"])
        call.store.models.set_metadata(model["id"], {**model["metadata"], **_metadata(call)})
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


def _metadata(call: Call) -> Document:
    """Metadata as it is kept, by key; a request has it as a list."""
    given = call.get("metadata") or []
    items = given.values() if isinstance(given, dict) else given
    return {str(item.get("key")): item for item in items if isinstance(item, dict)}


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
