"""``projects.*``: what is in a project, asked before it is deleted."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
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
