"""The table of all endpoints."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Endpoint, table
from clearml_hpo.server.services import (
    auth,
    debug,
    downloads,
    event_log,
    event_names,
    event_samples,
    event_scalars,
    events,
    labels,
    login,
    models,
    organization,
    pipelines,
    project_contents,
    project_lists,
    project_names,
    project_tree,
    project_values,
    projects,
    queue_metadata,
    queues,
    reports,
    server,
    task_edits,
    task_status,
    tasks,
    users,
    web_settings,
    worker_stats,
    workers,
)

_MODULES = (
    auth,
    debug,
    event_log,
    downloads,
    event_names,
    event_samples,
    event_scalars,
    events,
    login,
    models,
    organization,
    pipelines,
    project_tree,
    project_values,
    projects,
    project_contents,
    project_lists,
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
    services = (module.service for module in _MODULES)
    return table([*services, *labels.SERVICES, *web_settings.SERVICES])
