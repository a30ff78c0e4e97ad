"""What may be done to chosen tasks; the server's own endpoints do it, so their rules hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.responses import RedirectResponse, Response

from clearml_hpo.server.pages import render
from clearml_hpo.server.pages.login import local
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.store.documents import Document

_MOST = 10_000
_BY = {"status_reason": "by a user, in the server's pages"}


@dataclass(frozen=True)
class Action:
    """An action.

    Attributes:
        endpoint: what does it.
        data: what else the endpoint is told.
        question: what is asked before, where it cannot be undone.
    """

    endpoint: str
    data: dict[str, Any] = field(default_factory=dict)
    question: str = ""


ACTIONS = {
    "enqueue": Action("tasks.enqueue_many"),
    "dequeue": Action("tasks.dequeue_many"),
    "abort": Action("tasks.stop_many", _BY),
    "archive": Action("tasks.archive_many"),
    "unarchive": Action("tasks.unarchive_many"),
    "reset": Action(
        "tasks.reset_many", question="Reset? What was reported is lost: scalars, plots, console, artifacts."
    ),
    "delete": Action("tasks.delete_many", {"force": True}, "Delete for good? Only archived tasks are deleted."),
}


def confirm(visit: Visit) -> Response:
    """Asks whether it is meant."""
    name, action = _action(visit)
    if not action.question:
        raise Mistake("This is where forms are sent to; there is nothing to see.", 405)
    tasks = _tasks(visit, visit.query.getlist("task"))
    if name == "delete":
        tasks = [task for task in tasks if "archived" in task["system_tags"]]
    if not tasks:
        raise Mistake("none of the chosen tasks is archived" if name == "delete" else "no task was chosen", 404)
    return render.page(
        "confirm.html", name=name, question=action.question, tasks=tasks, back=local(visit.query.get("back"))
    )


def order(visit: Visit) -> Response:
    """Does it to each of the tasks; says which were refused, and why."""
    name, action = _action(visit)
    ids = visit.form.getlist("task")[:_MOST]
    if name == "delete":
        _require_archived(visit, ids)
    more = {"queue": visit.form["queue"]} if name == "enqueue" and visit.form.get("queue") else {}
    failed = visit.call(action.endpoint, ids=ids, **action.data, **more)["failed"]
    back = local(visit.form.get("back"))
    if not failed:
        return RedirectResponse(back, 303)
    names = {task["id"]: task["name"] for task in _tasks(visit, [each["id"] for each in failed])}
    refused = [(each["id"], names.get(each["id"]), each["error"]["msg"]) for each in failed]
    return render.page("refused.html", 400, name=name, refused=refused, done=len(ids) - len(failed), back=back)


def _action(visit: Visit) -> tuple[str, Action]:
    name = visit.names["action"]
    if name not in ACTIONS:
        raise Mistake(f"no action {name!r:.60}: one of {', '.join(ACTIONS)}", 404)
    return name, ACTIONS[name]


def _tasks(visit: Visit, ids: list[str]) -> list[Document]:
    found, _ = visit.store.tasks.search(
        {"id": ids or [""], "page_size": _MOST}, ["id", "name", "status", "system_tags"]
    )
    return found


def _require_archived(visit: Visit, ids: list[str]) -> None:
    for task in _tasks(visit, ids):
        if "archived" not in task["system_tags"]:
            raise Mistake(f"{task['name']!r:.100} is not archived; only archived tasks are deleted")
