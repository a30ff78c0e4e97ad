"""``projects.*``: moved and merged as wholes."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import STR, required

service = Service("projects")


@service.endpoint("move", "2.13", project=required(STR), new_location=STR)
def move(call: Call) -> Data:
    """Moves a project with all below it under another one, which is made if it is missing; without one, to the top."""
    return {"moved": call.store.projects.move(call.data["project"], call.get("new_location", ""))}


@service.endpoint("merge", "2.13", project=required(STR), destination_project=STR)
def merge(call: Call) -> Data:
    """Moves what is in a project into another one (none: the top), and removes the project."""
    source, target = call.data["project"], call.get("destination_project")
    with call.store.db.transaction():
        entities, projects = call.store.projects.merge(source, target)
    return {"moved_entities": entities, "moved_projects": projects}
