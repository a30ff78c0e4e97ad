"""A task, one tab of it at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from clearml_hpo.server.pages import (
    artifacts,
    configuration,
    console,
    execution,
    images,
    overview,
    plots,
    render,
    scalars,
)
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.store.documents import Document

_HEAD = (
    "id",
    "name",
    "status",
    "type",
    "project",
    "tags",
    "system_tags",
    "last_iteration",
    "execution.queue",
    "status_message",
)
_LIVE = frozenset(("in_progress", "queued"))


@dataclass(frozen=True)
class Tab:
    """A tab: the fields of the task that it needs, and what its template is filled with."""

    fields: tuple[str, ...]
    fill: Callable[[Visit, Document], dict[str, Any]]


TABS = {
    "overview": Tab(overview.FIELDS, overview.fill),
    "configuration": Tab(configuration.FIELDS, configuration.fill),
    "scalars": Tab((), scalars.fill),
    "plots": Tab((), plots.fill),
    "images": Tab((), images.fill),
    "console": Tab((), console.fill),
    "artifacts": Tab(artifacts.FIELDS, artifacts.fill),
    "execution": Tab(execution.FIELDS, execution.fill),
}
# What may be done to a task of which status: what the lifecycle allows without force.
_ACTIONS = {
    "enqueue": ("created", "stopped", "failed"),
    "dequeue": ("queued",),
    "abort": ("in_progress", "queued"),
    "reset": ("queued", "stopped", "failed", "completed", "closed"),
}


def show(visit: Visit) -> Response:
    """One tab."""
    name = visit.names.get("tab", "overview")
    if name not in TABS:
        raise Mistake(f"a task has no tab {name!r:.60}: one of {', '.join(TABS)}", 404)
    tab = TABS[name]
    task = visit.store.tasks.require(visit.names["task"], _HEAD)
    if tab.fields:
        found, _ = visit.store.tasks.search({"id": [task["id"]]}, tab.fields)
        task |= found[0]
    filled = tab.fill(visit, task)
    return render.page(f"task_{name}.html", **_head(visit, task), tabs=tuple(TABS), tab=name, **filled)


def _head(visit: Visit, task: Document) -> dict[str, Any]:
    """What is above every tab."""
    project: Document = {"id": "*", "name": "no project", "path": []}
    if "project" in task:
        project = visit.store.projects.get(task["project"])
    archived = "archived" in task["system_tags"]
    return {
        "task": task,
        "project": project,
        "archived": archived,
        "live": task["status"] in _LIVE,
        "actions": {name for name, statuses in _ACTIONS.items() if task["status"] in statuses},
        "queues": visit.store.queues.search({"only_fields": ["id", "name"], "order_by": ["name"]})[0],
        "queue": _place(visit, task) if task["status"] == "queued" else None,
    }


def _place(visit: Visit, task: Document) -> Document | None:
    """Where a task waits: the queue, and its place from 1."""
    id_ = task.get("execution", {}).get("queue")
    order = [entry["task"] for entry in visit.store.queues.entries(id_)] if id_ else []
    if task["id"] not in order:
        return None
    return {**visit.store.queues.require(id_), "place": order.index(task["id"]) + 1}
