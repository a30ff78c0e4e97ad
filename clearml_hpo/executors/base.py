"""The interface of an executor."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from clearml_hpo.backend.withdrawal import SETTLE_S


class Executor(Protocol):
    """Runs trial tasks; knows nothing of studies, parameters or metrics.

    Implemented by ``QueueExecutor``, ``LocalExecutor``, ``SharedExecutor`` and ``PilotExecutor``. These rules hold
    (``testing/executor_contract.py`` tests them):

    - A submitted task runs once. Tasks start in the order of submission as far as slots allow.
    - Submitting a task that already waits or runs does nothing.
    - A task that ``withdraw`` does not return will not start, and may be submitted again.
    - After ``abort`` a task becomes stopped in bounded time.
    - All three accept tasks that have ended or were deleted.
    """

    def submit(self, task_id: str, queue: str) -> None:
        """Runs a created task as soon as ``queue``, one of those that ``workers`` lists, has a free slot.

        Raises:
            ApiError: with subcode 701, if that queue was deleted; the task is unchanged.
        """

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes waiting tasks out of their queues.

        Returns:
            The status, by id, of those that could not be withdrawn: ``in_progress``, or ``queued``, which a worker has
            taken and is about to start. If it has not done so a second later, withdrawing the task again succeeds.
        """

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends running tasks."""

    def workers(self) -> Mapping[str, int]:
        """How many tasks can run at once, by queue, as far as is known now."""

    def how_to_serve(self, queue: str) -> str:
        """The command that starts a worker for ``queue``, one of those that ``workers`` lists."""

    def waiting(self) -> Collection[str]:
        """Ids of the waiting tasks, of all studies."""

    def deleted(self) -> Collection[str]:
        """The queues that were deleted."""

    def elsewhere(self, task_ids: Sequence[str]) -> Collection[str]:
        """The given tasks that a user has moved to a queue this executor does not use."""

    def close(self) -> None:
        """Releases what the executor holds, and ends the tasks that run in its own processes.

        A second call does nothing: another executor may use the queue by then.
        """


def withdraw_at_last(executor: Executor, task_ids: Sequence[str]) -> Mapping[str, str]:
    """Withdraws waiting tasks, after a second also those that a worker had just taken. Returns those that run."""
    left = executor.withdraw(task_ids)
    if "queued" not in left.values():
        return left
    time.sleep(SETTLE_S)
    return executor.withdraw(list(left))
