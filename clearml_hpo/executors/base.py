"""The interface of an executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Executor(Protocol):
    """Runs trial tasks; knows nothing of studies, parameters or metrics.

    Implemented by ``QueueExecutor``. What must hold: a submitted task is run once, in the order of submission as far as
    slots allow; after ``withdraw`` it will not start; after ``abort`` its status becomes stopped in bounded time. All
    three may be called for tasks that are no longer there or have ended.
    """

    def submit(self, task_id: str) -> None:
        """Has a created task run as soon as there is a free slot."""

    def withdraw(self, task_ids: Sequence[str]) -> None:
        """Takes back tasks that wait."""

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks that run."""

    def workers(self) -> int:
        """How many tasks can run at once, as far as is known now."""
