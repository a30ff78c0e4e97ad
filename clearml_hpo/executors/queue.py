"""Runs trial tasks through ClearML queues that ``clearml-agent`` daemons serve."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import BAD_REQUEST
from clearml_hpo.backend.names import workers_by_queue
from clearml_hpo.backend.withdrawal import SETTLE_S, withdraw
from clearml_hpo.core.errors import ApiError

_CAN_WAIT = ("created", "stopped", "failed")


class QueueExecutor:
    """One or several queues, by name."""

    def __init__(self, api: Api, queues: Mapping[str, str]) -> None:
        """``queues`` has ids by name."""
        self._api = api
        self._queues = dict(queues)
        # Tasks that a worker had taken when they were to be withdrawn, and since when.
        self._taken: dict[str, float] = {}

    def submit(self, task_id: str, queue: str) -> None:
        """Enqueues the task, in one call.

        Raises:
            ApiError: with subcode 701, if the queue was deleted.
        """
        self._line_up(task_id, queue)

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of their queues, in three calls and one for each that waits.

        A task that a worker has taken and not started within a second is withdrawn too.
        """
        now = time.monotonic()
        late = {task_id for task_id in task_ids if now - self._taken.get(task_id, now) >= SETTLE_S}
        left = withdraw(self._api, task_ids, abandoned=late)
        for task_id in task_ids:
            if left.get(task_id) == "queued":
                self._taken.setdefault(task_id, now)
            else:
                self._taken.pop(task_id, None)
        return left

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Asks the agents to stop the tasks, in one call; they look every few seconds."""
        if task_ids:
            self._api.call("tasks.stop_many", ids=list(task_ids), status_reason=reason)

    def workers(self) -> dict[str, int]:
        """How many agents serve each queue, in one call; an agent of several queues counts in each."""
        serving = workers_by_queue(self._api)
        return {name: len(serving.get(queue_id, ())) for name, queue_id in self._queues.items()}

    def how_to_serve(self, queue: str) -> str:
        """The command that starts agents."""
        return f"clearml-hpo agents up --queue {queue}"

    def waiting(self) -> set[str]:
        """Ids of the tasks in the queues, in one call."""
        queues = self._api.call("queues.get_all", id=list(self._queues.values()), only_fields=["id", "entries"])
        return {entry["task"] for queue in queues["queues"] for entry in queue.get("entries") or ()}

    def deleted(self) -> set[str]:
        """The queues that were deleted, in one call."""
        found = self._api.call("queues.get_all", id=list(self._queues.values()), only_fields=["id"])["queues"]
        return {name for name, queue_id in self._queues.items() if queue_id not in {queue["id"] for queue in found}}

    def elsewhere(self, task_ids: Sequence[str]) -> set[str]:
        """The given tasks that a user has moved to another queue, in one call."""
        tasks = self._api.call(
            "tasks.get_all", id=list(task_ids), only_fields=["id", "execution.queue"], search_hidden=True
        )["tasks"]
        ours = {"", *self._queues.values()}
        return {task["id"] for task in tasks if ((task.get("execution") or {}).get("queue") or "") not in ours}

    def close(self) -> None:
        """Does nothing: the agents are not this executor's."""

    def _line_up(self, task_id: str, queue: str) -> bool:
        """Whether it waits now; it does not if it has started or ended, or was deleted."""
        try:
            self._api.call("tasks.enqueue", task=task_id, queue=self._queues[queue])
        except ApiError as error:
            # Perhaps an earlier call succeeded and only its answer was lost; or the task was deleted.
            status = self._status(task_id) if error.code == BAD_REQUEST else ""
            if error.code != BAD_REQUEST or status in _CAN_WAIT:
                raise
            return status == "queued"
        return True

    def _status(self, task_id: str) -> str:
        tasks = self._api.call("tasks.get_all", id=[task_id], only_fields=["status"], search_hidden=True)["tasks"]
        return str(tasks[0].get("status", "")) if tasks else ""
