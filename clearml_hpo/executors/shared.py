"""Runs the trial tasks of one study through queues that several studies share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from clearml_hpo.backend.api import Api
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.workers.service import LocalWorkers


class SharedExecutor(QueueExecutor):
    """Queues, some of which are served by workers of this process. Each study has its own executor."""

    def __init__(self, api: Api, queues: Mapping[str, str], here: Mapping[str, LocalWorkers]) -> None:
        """``queues`` are ids by name. ``here`` has the workers of this process by queue; ``close`` keeps them."""
        super().__init__(api, queues)
        self._here = dict(sorted(here.items()))  # one order of locks for all

    def submit(self, task_id: str, queue: str) -> None:
        """Enqueues the task, in one call, and wakes the workers of this process."""
        super().submit(task_id, queue)
        if queue in self._here:
            self._here[queue].take_now()

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of their queues, see ``QueueExecutor``."""
        with self._between_tasks():
            return super().withdraw(task_ids)

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks, in one call."""
        with self._between_tasks():
            super().abort(task_ids, reason)

    def workers(self) -> dict[str, int]:
        """How many tasks can run at once, by queue, in one call; in none if this process serves all queues."""
        here = {queue: workers.size for queue, workers in self._here.items()}
        return here if here.keys() >= self._queues.keys() else {**super().workers(), **here}

    @contextmanager
    def _between_tasks(self) -> Iterator[None]:
        with ExitStack() as stack:
            for workers in self._here.values():
                stack.enter_context(workers.between_tasks())
            yield
