"""``projects.*``: the tree of projects, and what is true of all tasks in one."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, DICT, INT, STR, STRINGS, required
from clearml_hpo.server.services.lists import LIST, listed
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.joins import joined
from clearml_hpo.server.store.lifecycle import Gone
from clearml_hpo.server.store.projects import PROJECTS
from clearml_hpo.server.store.statistics import STATES

service = Service("projects")

_LIST = {**LIST, "shallow_search": BOOL}


@service.endpoint(
    "create",
    name=required(STR),
    description=STR,
    tags=STRINGS,
    system_tags=STRINGS,
    default_output_destination=STR,
)
def create(call: Call) -> Data:
    """Makes a project."""
    return {"id": call.store.projects.create(call.data["name"], call.data)}


@service.endpoint("get_by_id", project=required(STR))
def get_by_id(call: Call) -> Data:
    """One project."""
    return {"project": call.store.projects.get(call.data["project"])}


@service.endpoint("get_all", **_LIST)
def get_all(call: Call) -> Data:
    """Projects that match."""
    found, page = call.store.projects.search(call.data)
    return listed("projects", found, page, call.get("only_fields"))


@service.endpoint(
    "get_all_ex",
    **{"include_stats": BOOL, "stats_for_state": STR, "include_stats_filter": DICT, "check_own_contents": BOOL},
    **_LIST,
)
def get_all_ex(call: Call) -> Data:
    """Projects that match, with references filled in and, where asked for, statistics and the projects below."""
    fields = call.get("only_fields")
    found, page = call.store.projects.search(call.data)
    for project in found:
        project |= _own(call, project["id"]) | _stats(call, project["id"])
    call.store.joins.fill(PROJECTS, found, fields)
    return listed("projects", found, page, [*(joined(PROJECTS, fields) or []), *_ADDED] if fields else None)


_ADDED = ("own_tasks", "own_models", "stats", "sub_projects")


def _stats(call: Call, id_: str) -> Document:
    if not call.get("include_stats"):
        return {}
    state = call.get("stats_for_state", "active")
    if state not in STATES:
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'stats_for_state': one of {', '.join(STATES)}")
    numbers = call.store.statistics.of_project(id_, state, call.get("include_stats_filter", {}))
    return {"stats": {state: numbers}, "sub_projects": call.store.projects.children(id_)}


def _own(call: Call, id_: str) -> Document:
    """How many tasks and models are in a project itself."""
    if not call.get("check_own_contents"):
        return {}
    return {
        "own_tasks": call.store.statistics.size("tasks", [id_]),
        "own_models": call.store.statistics.size("models", [id_]),
    }


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
            left, _ = call.store.models.search({"project": ids, "page_size": 100_000}, ["id"])
            models = [call.store.models.delete(model["id"]) for model in left]
        deleted = call.store.projects.delete(project, force=bool(call.get("force")))
    models += [model for gone in tasks for model in gone.models]
    return {
        "deleted": deleted,
        "disassociated_tasks": 0,
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


# --- what is true of all tasks in a project ---------------------------------------------------------------------------


def _wanted(call: Call) -> list[str]:
    """The projects that a call is about, with those below them unless it says otherwise; none: all."""
    asked = list(call.get("projects") or ([call.data["project"]] if call.get("project") else []))
    return call.store.projects.with_descendants(asked) if call.get("include_subprojects", True) else asked


@service.endpoint("get_hyper_parameters", "2.9", project=STR, include_subprojects=BOOL, page=INT, page_size=INT)
def get_hyper_parameters(call: Call) -> Data:
    """Sections and names of all hyperparameters."""
    names = list(
        dict.fromkeys((row["section"], row["name"]) for row in call.store.statistics.parameters(_wanted(call)))
    )
    start, size = max(0, call.get("page", 0)), max(1, call.get("page_size", 500))
    part = names[start * size : (start + 1) * size]
    return {
        "total": len(names),
        "remaining": max(0, len(names) - (start + 1) * size),
        "parameters": [{"section": section, "name": name} for section, name in part],
    }


@service.endpoint(
    "get_hyperparam_values",
    "2.13",
    projects=STRINGS,
    section=required(STR),
    name=required(STR),
    include_subprojects=BOOL,
)
def get_hyperparam_values(call: Call) -> Data:
    """All values of one hyperparameter."""
    asked = (call.data["section"], call.data["name"])
    rows = call.store.statistics.parameters(_wanted(call))
    values = [row["value"] for row in rows if (row["section"], row["name"]) == asked and row["value"] is not None]
    return {"total": len(values), "values": values}


@service.endpoint("get_unique_metric_variants", project=STR, include_subprojects=BOOL)
def get_unique_metric_variants(call: Call) -> Data:
    """All metrics and variants."""
    return {"metrics": call.store.scalars.variants(_wanted(call) or None)}
