"""Runs trial tasks through a ClearML queue that clearml-agent daemons serve."""

from __future__ import annotations

from collections.abc import Sequence

from clearml_hpo.tasks.api import Api
from clearml_hpo.tasks.names import workers_of


class QueueExecutor:
    """One queue."""

    def __init__(self, api: Api, queue_id: str) -> None:
        self._api = api
        self._queue_id = queue_id

    def submit(self, task_id: str) -> None:
        """Enqueues the task, in one call."""
        self._api.call("tasks.enqueue", task=task_id, queue=self._queue_id)

    def withdraw(self, task_ids: Sequence[str]) -> None:
        """Takes tasks out of the queue, in one call."""
        if task_ids:
            self._api.call("tasks.dequeue_many", ids=list(task_ids))

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Asks the agents to stop the tasks, in one call; they look every few seconds."""
        if task_ids:
            self._api.call("tasks.stop_many", ids=list(task_ids), status_reason=reason)

    def workers(self) -> int:
        """Agents that serve the queue and were heard of lately."""
        return len(workers_of(self._api, self._queue_id))
