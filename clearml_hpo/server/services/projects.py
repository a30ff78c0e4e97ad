"""``projects.*``: made, read, edited, deleted."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, DOCUMENT_TEXT, NEW_TEXTS, STR, STRINGS, required
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.lifecycle import Gone

service = Service("projects")


@service.endpoint(
    "create",
    name=STR,
    description=DOCUMENT_TEXT,
    tags=NEW_TEXTS,
    system_tags=NEW_TEXTS,
    default_output_destination=DOCUMENT_TEXT,
)
def create(call: Call) -> Data:
    """Makes a project."""
    if "name" not in call.data:
        raise ApiRefusal(Refusal.MISSING_FIELD, missing="(name)")
    if call.data["name"] is None:
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'name': field is required!.")
    return {"id": call.store.projects.create(call.data["name"], call.data)}


@service.endpoint("get_by_id", project=required(STR))
def get_by_id(call: Call) -> Data:
    """One project."""
    return {"project": call.store.projects.get(call.data["project"])}


@service.endpoint(
    "update",
    project=required(STR),
    name=STR,
    description=STR,
    tags=STRINGS,
    system_tags=STRINGS,
    default_output_destination=STR,
)
def update(call: Call) -> Data:
    """Sets fields of a project."""
    names = ("name", "description", "tags", "system_tags", "default_output_destination")
    changes = {name: call.data[name] for name in names if call.get(name) is not None}
    return {"updated": call.store.projects.update(call.data["project"], changes), "fields": changes}


@service.endpoint("delete", project=required(STR), force=BOOL, delete_contents=BOOL)
def delete(call: Call) -> Data:
    """Removes a project; with ``delete_contents`` its tasks and models too."""
    project, tasks, models = call.data["project"], list[Gone](), list[Document]()
    with call.store.db.transaction():
        if call.get("delete_contents"):
            call.store.projects.refuse_if_used(project, force=bool(call.get("force")))
            ids = call.store.projects.with_descendants([project])
            tasks = [call.store.lifecycle.delete(id_, force=True) for id_ in call.store.statistics.tasks_in(ids)]
            found, _ = call.store.models.search({"project": ids, "page_size": 100_000}, ["id"])
            models = [call.store.models.delete(model["id"]) for model in found]
        deleted, left = call.store.projects.delete(project, force=bool(call.get("force")))
    models += [model for gone in tasks for model in gone.models]
    return {
        "deleted": deleted,
        "disassociated_tasks": left,
        "deleted_tasks": len(tasks),
        "deleted_models": len(models),
        "urls": _urls(tasks, models) if call.get("delete_contents") else None,
    }


def _urls(tasks: list[Gone], models: list[Document]) -> Data:
    """The files of what is gone."""
    return {
        "model_urls": [model["uri"] for model in models if model.get("uri")],
        "event_urls": [url for gone in tasks for url in gone.event_urls],
        "artifact_urls": [url for gone in tasks for url in gone.artifact_urls],
    }
