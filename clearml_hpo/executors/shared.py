"""Runs one study's trial tasks through queues that several studies share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from clearml_hpo.backend.api import Api
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.workers.service import LocalWorkers


class SharedExecutor(QueueExecutor):
    """Queues, some of which workers of this process serve. Each study has an executor of its own."""

    def __init__(self, api: Api, queues: Mapping[str, str], here: Mapping[str, LocalWorkers]) -> None:
        """``queues`` has ids by name, ``here`` those of them that are served by this process; they stay when closed."""
        super().__init__(api, queues)
        self._here = dict(sorted(here.items()))  # one order of locks for all

    def submit(self, task_id: str, queue: str) -> None:
        """Enqueues the task, in one call, and has it looked for."""
        super().submit(task_id, queue)
        if queue in self._here:
            self._here[queue].look_now()

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of their queues, see ``QueueExecutor``."""
        with self._between_tasks():
            return super().withdraw(task_ids)

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks, in one call."""
        with self._between_tasks():
            super().abort(task_ids, reason)

    def workers(self) -> dict[str, int]:
        """By queue, in one call; none if all are served by this process."""
        here = {queue: workers.size for queue, workers in self._here.items()}
        return here if here.keys() >= self._queues.keys() else {**super().workers(), **here}

    @contextmanager
    def _between_tasks(self) -> Iterator[None]:
        with ExitStack() as stack:
            for workers in self._here.values():
                stack.enter_context(workers.between_tasks())
            yield
