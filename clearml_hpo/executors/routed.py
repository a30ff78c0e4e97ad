"""Several executors as one: the queue says which of them a trial goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clearml_hpo.executors.base import Executor
from clearml_hpo.executors.outside import OUTSIDE, OutsideExecutor


class RoutedExecutor:
    """What is handed out to outside workers, and another executor for all other queues."""

    def __init__(self, inside: Executor, outside: OutsideExecutor) -> None:
        """Both are closed with this one."""
        self._inside = inside
        self._outside = outside

    def submit(self, task_id: str, queue: str) -> None:
        """Has the queue's executor run it."""
        (self._outside if queue == OUTSIDE else self._inside).submit(task_id, queue)

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of their queues, those of each executor by itself."""
        inside, outside = self._by_executor(task_ids)
        return {**self._inside.withdraw(inside), **self._outside.withdraw(outside)}

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks, those of each executor by itself."""
        inside, outside = self._by_executor(task_ids)
        if inside:
            self._inside.abort(inside, reason)
        if outside:
            self._outside.abort(outside, reason)

    def workers(self) -> dict[str, int]:
        """How many tasks can run at once, by queue."""
        return {**self._inside.workers(), **self._outside.workers()}

    def how_to_serve(self, queue: str) -> str:
        """What starts a worker for the queue."""
        return (self._outside if queue == OUTSIDE else self._inside).how_to_serve(queue)

    def waiting(self) -> set[str]:
        """Ids of all tasks that wait."""
        return {*self._inside.waiting(), *self._outside.waiting()}

    def deleted(self) -> set[str]:
        """The queues that were deleted."""
        return {*self._inside.deleted(), *self._outside.deleted()}

    def elsewhere(self, task_ids: Sequence[str]) -> set[str]:
        """The given tasks that are in a queue of neither."""
        return {*self._inside.elsewhere(task_ids)} & {*self._outside.elsewhere(task_ids)}

    def close(self) -> None:
        """Closes both."""
        try:
            self._outside.close()
        finally:
            self._inside.close()

    def _by_executor(self, task_ids: Iterable[str]) -> tuple[list[str], list[str]]:
        ids = list(task_ids)
        outside = [task_id for task_id in ids if task_id in self._outside]
        return [task_id for task_id in ids if task_id not in outside], outside
