"""Queues: what waits in which order, and who serves them."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from clearml_hpo.server.pages import cells, render
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.store.documents import Document

_SHOWN = 500
_CHANGES = {
    "first": "queues.move_task_to_front",
    "up": "queues.move_task_forward",
    "down": "queues.move_task_backward",
    "last": "queues.move_task_to_back",
    "remove": "queues.remove_task",
}


def show(visit: Visit) -> Response:
    """All queues."""
    return render.page("queues.html", queues=listed(visit))


def listed(visit: Visit) -> list[Document]:
    """Queues with how many tasks wait in each, and the workers that serve it."""
    found, _ = visit.store.queues.search({"only_fields": ["id", "name"], "order_by": ["name"]})
    workers = visit.store.workers.seen()
    for queue in found:
        queue["size"] = visit.store.queues.size(queue["id"])
        queue["workers"] = [worker["id"] for worker in workers if queue["id"] in worker["queues"]]
    return found


def one(visit: Visit) -> Response:
    """A queue and its tasks, next first."""
    id_ = visit.names["queue"]
    queue = visit.store.queues.require(id_)
    entries = visit.store.queues.entries(id_, _SHOWN)
    tasks, _ = visit.store.tasks.search(
        {"id": [entry["task"] for entry in entries] or [""], "page_size": _SHOWN}, ["id", "name"]
    )
    names = {task["id"]: task["name"] for task in tasks}
    return render.page(
        "queue.html",
        queue=queue,
        entries=[{**entry, "name": names.get(entry["task"])} for entry in entries],
        size=visit.store.queues.size(id_),
        workers=[worker["id"] for worker in visit.store.workers.seen() if id_ in worker["queues"]],
    )


def create(visit: Visit) -> Response:
    """Makes a queue."""
    return RedirectResponse(
        cells.path("queues", visit.call("queues.create", name=visit.form.get("name", "").strip())["id"]), 303
    )


def change(visit: Visit) -> Response:
    """Moves a task within a queue, takes it out, or deletes the queue."""
    queue, asked = visit.names["queue"], visit.form.get("change", "")
    if asked == "delete":
        visit.call("queues.delete", queue=queue)
        return RedirectResponse("/queues", 303)
    if asked not in _CHANGES:
        raise Mistake(f"change={asked!r:.60}: one of delete, {', '.join(_CHANGES)}")
    status = {"update_task_status": True} if asked == "remove" else {}
    visit.call(_CHANGES[asked], queue=queue, task=visit.form.get("task", ""), **status)
    return RedirectResponse(cells.path("queues", queue), 303)
