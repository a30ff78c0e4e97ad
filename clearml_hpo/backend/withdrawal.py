"""Tasks taken out of their queues, and put back: no task that runs may become a draft on the way.

ClearML's ``tasks.dequeue`` makes a draft of whatever runs, too, and says of every task that it has succeeded. Whose a
task is goes by its entry in the queue: a worker takes that by ``queues.get_next_task``, this side by
``queues.remove_task``, and only one of them can have it. Neither touches the status.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from clearml_hpo.backend.codes import Subcode
from clearml_hpo.core.errors import ApiError

SETTLE_S = 1.0
"""A task that is "queued" but in no queue is left to its worker for this long, which needs milliseconds to start it."""

_CHUNK = 500
_RAN = "it was taken out of its queue while it started"


class Caller(Protocol):
    """A connection to a server."""

    def call(self, endpoint: str, **body: Any) -> Mapping[str, Any]:
        """The answer's data."""


def withdraw(api: Caller, task_ids: Iterable[str], *, abandoned: Collection[str] = ()) -> dict[str, str]:
    """Takes tasks that wait out of their queues; those that have ended, or are no longer there, are left alone.

    In three calls, and one for each task that waits; in one if none does.

    Args:
        abandoned: those of them that a worker has taken so long ago that it must have died before it could start them;
            they are dequeued as well.

    Returns:
        Those that could not be taken back, by id: ``in_progress``, or ``queued``, which a worker has just taken and is
        about to start.
    """
    left: dict[str, str] = {}
    ours: dict[str, Any] = {}
    for task_id, task in _read(api, task_ids).items():
        if task["status"] == "queued" and (_take(api, task_id, task) or task_id in abandoned):
            ours[task_id] = task.get("started")
        elif task["status"] in ("queued", "in_progress"):
            left[task_id] = task["status"]
    if not ours:
        return left
    api.call("tasks.dequeue_many", ids=list(ours))
    # A worker that was handed the task in another way, such as by its id, may have started it in between.
    for task_id, task in _read(api, ours).items():
        if task["status"] == "created" and task.get("started") != ours[task_id]:
            api.call("tasks.stopped", task=task_id, force=True, status_reason=_RAN)
        elif task["status"] == "in_progress":
            left[task_id] = task["status"]
    return left


def put_back(api: Caller, task_id: str, queue: str) -> bool:
    """Puts a task that was taken from a queue and never started last into it again; whether it waits there now.

    Only if it is still queued: if not, a user or the controller has withdrawn or stopped it meanwhile. It is not
    dequeued first: enqueueing is refused if a worker runs it after all.
    """
    task = _read(api, [task_id]).get(task_id)
    if task is None or task["status"] != "queued":
        return False
    try:
        api.call("tasks.enqueue", task=task_id, queue=queue)
    except ApiError as error:
        if error.subcode not in (Subcode.NO_SUCH_TASK, Subcode.WRONG_STATUS, Subcode.ALREADY_IN_QUEUE):
            raise
        return error.subcode == Subcode.ALREADY_IN_QUEUE
    return True


def is_spoilt(task: Mapping[str, Any]) -> bool:
    """Whether a task, with its status and start, was made a draft while it ran: ClearML does so with what is dequeued.

    A reset leaves no time of a start, and a draft that is one. Such a task has to be stopped by force.
    """
    return task.get("status") == "created" and bool(task.get("started"))


def forget_entry(api: Caller, task_id: str) -> None:
    """Takes the entry of a task that no longer waits out of its queue: a start or an end leaves it there."""
    for task in _read(api, [task_id]).values():
        _take(api, task_id, task)


def _take(api: Caller, task_id: str, task: Mapping[str, Any]) -> bool:
    """Takes a task's entry out of its queue; False if it has none any more."""
    queue = (task.get("execution") or {}).get("queue")
    if not queue:
        return False
    try:
        api.call("queues.remove_task", queue=queue, task=task_id)
    except ApiError as error:
        if error.subcode != Subcode.NOT_IN_QUEUE:
            raise
        return False
    return True


def _read(api: Caller, task_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    ids, fields = list(task_ids), ["id", "status", "started", "execution.queue"]
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        tasks = api.call("tasks.get_all", id=chunk, only_fields=fields, search_hidden=True)["tasks"]
        found |= {task["id"]: task for task in tasks}
    return found
