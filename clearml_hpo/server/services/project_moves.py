"""``projects.*``: projects moved, merged, and looked at before they are deleted."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import STR, required

service = Service("projects")

_KINDS = {"pipelines": "pipeline", "datasets": "dataset", "reports": "reports"}


@service.endpoint("validate_delete", project=required(STR))
def validate_delete(call: Call) -> Data:
    """How much would go with a project: tasks, models, and the tasks of special kinds, by system tag."""
    call.store.projects.require(call.data["project"], ["id"])
    ids = call.store.projects.with_descendants([call.data["project"]])
    size = call.store.statistics.size
    answer: Data = {kind: size("tasks", ids, tag=tag) for kind, tag in _KINDS.items()}
    for noun in ("tasks", "models"):
        answer |= {noun: size(noun, ids), f"non_archived_{noun}": size(noun, ids, "active")}
    return {**answer, "non_archived_reports": size("tasks", ids, "active", "reports")}


@service.endpoint("move", project=required(STR), new_location=STR)
def move(call: Call) -> Data:
    """Puts a project below another one, which is made if it is missing, or topmost if none is named."""
    above = call.get("new_location", "")
    with call.store.db.transaction():
        project = call.store.projects.require(call.data["project"], ["name", "basename"])
        name = f"{above}/{project['basename']}" if above else project["basename"]
        if name == project["name"]:
            return {"moved": 0}
        moved = len(call.store.projects.with_descendants([project["id"]]))
        call.store.projects.update(project["id"], {"name": name})
    return {"moved": moved}


@service.endpoint("merge", project=required(STR), destination_project=STR)
def merge(call: Call) -> Data:
    """Moves what is in a project, and the projects below it, into another one (or none), and removes it."""
    source, target = call.data["project"], call.get("destination_project")
    with call.store.db.transaction():
        projects = call.store.projects
        projects.require(source, ["id"])
        if target is not None and target in projects.with_descendants([source]):
            raise ApiRefusal(Refusal.DATA_VALIDATION, destination_project="a project cannot go into itself")
        above = projects.require(target, ["name"])["name"] if target is not None else ""
        entities = projects.move_contents(source, target)
        below = projects.direct_children(source)
        for child in below:
            projects.update(child["id"], {"name": f"{above}/{child['basename']}" if above else child["basename"]})
        projects.delete(source, force=True)
    return {"moved_entities": entities, "moved_projects": len(below)}
