"""What an outside worker would say of its task, said for it: that it has begun, what it measures, how it has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clearml_hpo.backend import lists
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import BAD_REQUEST, Subcode
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.core.errors import ApiError

End = Literal["completed", "failed", "stopped"]
COMPLETED = ("completed", "published")
ENDED = (*COMPLETED, "failed", "stopped", "closed")
"""Statuses of tasks that run no more."""
HANDOUT = "handout"
"""The user property of a task that was handed out: the number on the wire."""
_GONE = (Subcode.INVALID_ID, Subcode.NO_SUCH_TASK)


@dataclass(frozen=True)
class Point:
    """One value of a scalar, ``title/series``, at a step; ``at_ms`` is when, in milliseconds since 1970."""

    metric: str
    step: int
    value: float
    at_ms: int


def begin(api: Api, task_id: str, queue_id: str, properties: Mapping[str, object]) -> bool:
    """Takes a task out of its queue and starts it; in three calls, and one more if it is not there any more.

    Doing it again, as the first answer was lost, is no second start.

    Returns:
        Whether it runs now: a user may have taken it back, moved, ended or deleted it.
    """
    if not _is_taken(api, task_id, queue_id):
        fields = ["status", "execution.queue"]
        tasks = api.call("tasks.get_all", id=[task_id], only_fields=fields, search_hidden=True)["tasks"]
        status = tasks[0]["status"] if tasks else ""
        if status != "queued" or (tasks[0].get("execution") or {}).get("queue") != queue_id:
            return status == "in_progress"
    set_properties(api, task_id, properties)
    api.call("tasks.started", task=task_id)
    return True


def _is_taken(api: Api, task_id: str, queue_id: str) -> bool:
    """Whether its entry was taken out of the queue just now: then nobody else has the task."""
    try:
        api.call("queues.remove_task", queue=queue_id, task=task_id)
    except ApiError as error:
        if error.code != BAD_REQUEST:
            raise
        return False
    return True


def report(api: Api, points: Iterable[tuple[str, Point]]) -> None:
    """Sends scalars of any tasks, given by their ids, in one call.

    What is not finite is left out: no server takes it.

    Raises:
        ApiError: also if none of the tasks is there any more.
    """
    api.send_events(
        {
            "type": "training_stats_scalar",
            "task": task_id,
            "metric": point.metric.rpartition("/")[0],
            "variant": point.metric.rpartition("/")[2],
            "iter": point.step,
            "value": point.value,
            "timestamp": point.at_ms,
        }
        for task_id, point in points
    )


def ended(api: Api, task_ids: Collection[str], how: Collection[str] = ENDED) -> set[str]:
    """Those of the tasks that have ended, or have ended so; in a call for every 500."""
    found = lists.by_id(api, "tasks", task_ids, ["status"], search_hidden=True)
    return {task_id for task_id, task in found.items() if task["status"] in how}


def running(api: Api, study: str) -> set[str]:
    """The tasks of a study that outside workers run."""
    fields = ["id", f"hyperparams.properties.{HANDOUT}"]
    filters = {"parent": study, "status": ["in_progress"], "search_hidden": True, "only_fields": fields}
    found = lists.rows(api, "tasks", filters)
    return {task["id"] for task in found if HANDOUT in (task.get("hyperparams") or {}).get("properties", {})}


def end(api: Api, task_id: str, how: End, reason: str, *, again: bool = False) -> bool:
    """Ends a task, in one call; one that has ended in another way stays as it is, unless ``again``.

    Returns:
        Whether it has ended so; False also if it was deleted.
    """
    said: dict[str, Any] = {"status_reason": reason, "status_message": reason} if reason else {}
    try:
        api.call(f"tasks.{how}", task=task_id, force=again, **said)
    except ApiError as error:
        if error.subcode not in (Subcode.WRONG_STATUS, *_GONE):
            raise
        return False
    return True


def ping(api: Api, task_id: str) -> None:
    """Shows a sign of life of a task, if it is still there."""
    try:
        api.call("tasks.ping", task=task_id)
    except ApiError as error:
        if error.subcode not in _GONE:
            raise
