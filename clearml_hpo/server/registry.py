"""The table of all endpoints."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Endpoint, table
from clearml_hpo.server.services import (
    auth,
    debug,
    event_log,
    event_names,
    event_samples,
    event_scalars,
    events,
    login,
    models,
    organization,
    pipelines,
    project_contents,
    project_names,
    project_tree,
    projects,
    queue_metadata,
    queues,
    reports,
    server,
    task_edits,
    task_status,
    tasks,
    users,
    worker_stats,
    workers,
)

_MODULES = (
    auth,
    debug,
    event_log,
    event_names,
    event_samples,
    event_scalars,
    events,
    login,
    models,
    organization,
    pipelines,
    project_tree,
    projects,
    project_contents,
    project_names,
    queue_metadata,
    queues,
    reports,
    server,
    tasks,
    task_edits,
    task_status,
    users,
    worker_stats,
    workers,
)


def endpoints() -> dict[str, Endpoint]:
    """All endpoints by name."""
    return table(module.service for module in _MODULES)
