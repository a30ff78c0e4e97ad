"""The interface of an executor."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from clearml_hpo.backend.withdrawal import SETTLE_S


class Executor(Protocol):
    """Runs trial tasks; knows nothing of studies, parameters or metrics.

    Implemented by ``QueueExecutor``, ``LocalExecutor`` and ``SharedExecutor``. What must hold: a submitted task is
    run once, in the order of submission as far as slots allow; a task that waits or runs already may be submitted
    again, and nothing happens; what ``withdraw`` does not name as left will not start, and may be submitted anew;
    after ``abort`` its status becomes stopped in bounded time. All three may be called for tasks that are no longer
    there or have ended.
    """

    def submit(self, task_id: str, queue: str) -> None:
        """Has a created task run as soon as there is a free slot of ``queue``, one of those that ``workers`` lists.

        Raises:
            ApiError: with subcode 701, if that queue was deleted; the task is still as it was.
        """

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes back tasks that wait.

        Returns:
            Those that are left, by id: ``in_progress``, or ``queued``, which a worker has taken and is about to start.
            Asked again a second later, a worker that has not started one has lost it.
        """

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks that run."""

    def workers(self) -> Mapping[str, int]:
        """By queue: how many tasks can run at once, as far as is known now."""

    def how_to_serve(self, queue: str) -> str:
        """The command that starts whoever serves ``queue``, one of those that ``workers`` lists."""

    def waiting(self) -> Collection[str]:
        """Ids of the tasks that wait in line, of whatever study."""

    def deleted(self) -> Collection[str]:
        """Those of the queues that are no longer there."""

    def elsewhere(self, task_ids: Sequence[str]) -> Collection[str]:
        """Those of these tasks that somebody has put in a queue which is none of this executor's."""

    def close(self) -> None:
        """Lets go of what the executor itself holds; tasks that run in processes of its own are ended.

        Called again it does nothing: a successor may have begun.
        """


def withdraw_at_last(executor: Executor, task_ids: Sequence[str]) -> Mapping[str, str]:
    """Takes back tasks that wait; waits a second if a worker has just taken some. What is returned runs."""
    left = executor.withdraw(task_ids)
    if "queued" not in left.values():
        return left
    time.sleep(SETTLE_S)
    return executor.withdraw(list(left))
