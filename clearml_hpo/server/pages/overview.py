"""A task at a glance."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.pages import cells, console
from clearml_hpo.server.pages.columns import USER_PROPERTIES
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document

FIELDS = (
    *("comment", "parent", "created", "started", "completed", "active_duration", "last_update", "last_worker"),
    *("status_reason", "status_message", "hyperparams", "last_metrics", "execution"),
)


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """Facts, last metrics, parameters, names of artifacts, the end of the console."""
    sections = {name: list(items.values()) for name, items in task["hyperparams"].items()}
    children = visit.store.browse.count({"parent": [task["id"]]})
    return {
        "facts": [(name, value) for name, value in _facts(visit, task).items() if value],
        "children": children,
        "metrics": cells.last_metrics(task),
        "artifacts": [str(each.get("key")) for each in task["execution"].get("artifacts", [])],
        "log": console.tail(visit, task["id"]),
        "properties": sections.pop(USER_PROPERTIES, []),
        "sections": sections,
    }


def _facts(visit: Visit, task: Document) -> dict[str, Any]:
    """What else a user may want to know; what the task has nothing of is left out."""
    said = dict.fromkeys(task.get(name) for name in ("status_reason", "status_message"))
    why = ": ".join(text for text in said if text)
    return {
        "comment": task.get("comment"),
        "why": why,
        **{name: cells.moment(task.get(name)) for name in ("created", "started", "completed")},
        "last change": cells.moment(task.get("last_update")),
        "ran for": cells.duration(task.get("active_duration")),
        "worker": task.get("last_worker"),
        "parent": _parent(visit, task),
        "id": task["id"],
    }


def _parent(visit: Visit, task: Document) -> Any:
    found, _ = visit.store.tasks.search({"id": [task.get("parent") or ""]}, ["id", "name"])
    return cells.task_link(found[0]["id"], found[0]["name"]) if found else ""
