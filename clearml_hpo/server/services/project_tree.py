"""``projects.*``: moved and merged as wholes; what is noted about their models."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL, INT, STR, STRINGS, required

service = Service("projects")


@service.endpoint("move", "2.13", project=required(STR), new_location=STR)
def move(call: Call) -> Data:
    """Moves a project with all below it under another one, which is made if it is missing; without one, to the top."""
    project, location = call.data["project"], call.get("new_location", "").strip("/")
    with call.store.db.transaction():
        name = call.store.projects.require(project, ["basename"])["basename"]
        moved = call.store.projects.with_descendants([project])
        call.store.projects.update(project, {"name": f"{location}/{name}" if location else name})
    return {"moved": len(moved)}


@service.endpoint("merge", "2.13", project=required(STR), destination_project=STR)
def merge(call: Call) -> Data:
    """Moves what is in a project into another one (none: the top), and removes the project."""
    source, target = call.data["project"], call.get("destination_project")
    with call.store.db.transaction():
        entities, projects = call.store.projects.merge(source, target)
    return {"moved_entities": entities, "moved_projects": projects}


@service.endpoint(
    "get_model_metadata_keys", "2.17", project=required(STR), include_subprojects=BOOL, page=INT, page_size=INT
)
def get_model_metadata_keys(call: Call) -> Data:
    """The keys of the metadata of all models."""
    projects = _projects(call, [call.data["project"]])
    keys = list(dict.fromkeys(key for key, _ in call.store.statistics.metadata(projects)))
    start, size = max(0, call.get("page", 0)), max(1, call.get("page_size", 500))
    part = keys[start * size : (start + 1) * size]
    return {"total": len(keys), "remaining": max(0, len(keys) - (start + 1) * size), "keys": part}


@service.endpoint("get_model_metadata_values", "2.17", projects=STRINGS, key=required(STR), include_subprojects=BOOL)
def get_model_metadata_values(call: Call) -> Data:
    """The values of one key of the metadata of all models."""
    rows = call.store.statistics.metadata(_projects(call, call.get("projects", [])))
    values = [value for key, value in rows if key == call.data["key"]]
    return {"total": len(values), "values": values}


def _projects(call: Call, asked: list[str]) -> list[str]:
    """The projects that a call is about, with those below them unless it says otherwise; none: all."""
    return call.store.projects.with_descendants(asked) if call.get("include_subprojects", True) else asked
