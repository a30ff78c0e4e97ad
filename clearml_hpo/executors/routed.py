"""Several executors as one: the queue says which of them a trial goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clearml_hpo.executors.base import Executor
from clearml_hpo.executors.outside import OutsideExecutor


class RoutedExecutor:
    """Executors of single queues, such as ``outside`` and ``dask``, and one for all other queues."""

    def __init__(self, by_queue: Mapping[str, Executor], others: Executor | None = None) -> None:
        """All are closed with this one; without ``others`` there are no other queues."""
        self._by_queue = dict(by_queue)
        self._executors = [*([others] if others is not None else ()), *by_queue.values()]
        self._owners: dict[str, Executor] = {}

    def submit(self, task_id: str, queue: str) -> None:
        """Has the queue's executor run it."""
        executor = self._by_queue.get(queue, self._executors[0])
        self._owners[task_id] = executor
        executor.submit(task_id, queue)

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of their queues, those of each executor by itself."""
        left: dict[str, str] = {}
        for executor, ids in self._by_executor(task_ids):
            left |= executor.withdraw(ids)
        return left

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks, those of each executor by itself."""
        for executor, ids in self._by_executor(task_ids):
            executor.abort(ids, reason)

    def workers(self) -> dict[str, int]:
        """How many tasks can run at once, by queue."""
        found: dict[str, int] = {}
        for executor in self._executors:
            found |= executor.workers()
        return found

    def how_to_serve(self, queue: str) -> str:
        """What starts a worker for the queue."""
        executor: Executor = self._by_queue.get(queue, self._executors[0])
        return executor.how_to_serve(queue)

    def waiting(self) -> set[str]:
        """Ids of all tasks that wait."""
        return {task_id for executor in self._executors for task_id in executor.waiting()}

    def deleted(self) -> set[str]:
        """The queues that were deleted."""
        return {queue for executor in self._executors for queue in executor.deleted()}

    def elsewhere(self, task_ids: Sequence[str]) -> set[str]:
        """The given tasks that are in a queue of none of them."""
        found = [{*executor.elsewhere(task_ids)} for executor in self._executors]
        return set.intersection(*found)

    def close(self) -> None:
        """Closes all."""
        for executor in self._executors:
            executor.close()

    def _by_executor(self, task_ids: Iterable[str]) -> list[tuple[Executor, list[str]]]:
        found: dict[int, tuple[Executor, list[str]]] = {}
        for task_id in task_ids:
            executor = self._owner(task_id)
            found.setdefault(id(executor), (executor, []))[1].append(task_id)
        return [*found.values()]

    def _owner(self, task_id: str) -> Executor:
        """The one that it was given to; of one that an earlier controller gave away, the one that knows it."""
        known = (each for each in self._executors if isinstance(each, OutsideExecutor) and task_id in each)
        return next(known, self._owners.get(task_id, self._executors[0]))
