"""A trial in the clothes of a ClearML job, for code that was written for ClearML's optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearml import Task
from clearml.automation import ClearmlJob
from clearml.automation.job import BaseJob

from clearml_hpo.core.trial import Trial, TrialState

_STATUS = {
    TrialState.QUEUED: "queued",
    TrialState.RUNNING: "in_progress",
    TrialState.COMPLETED: "completed",
    TrialState.PRUNED: "stopped",
    TrialState.PAUSED: "completed",
    TrialState.ABORTED: "stopped",
    TrialState.STOPPED: "stopped",
    TrialState.FAILED: "failed",
    TrialState.KILLED: "failed",
    TrialState.LOST: "failed",
    TrialState.NO_OBJECTIVE: "completed",
    TrialState.NOT_FINITE: "completed",
}


class TrialJob(ClearmlJob):  # type: ignore[misc]
    """One trial; its status comes from the loop's last poll and costs no call."""

    def __init__(self, trial: Callable[[], Trial]) -> None:
        """``trial`` returns the trial as it is now."""
        self._trial = trial
        self._loaded: Task | None = None
        BaseJob.__init__(self)
        self.task_parameter_override = dict(trial().params)

    @property
    def task(self) -> Task:
        """ClearML's task object, fetched when it is first asked for."""
        if self._loaded is None:
            self._loaded = Task.get_task(task_id=self._trial().task_id)
        return self._loaded

    @task.setter
    def task(self, task: Any) -> None:
        """The base class sets None; there is nothing to keep."""

    def task_id(self) -> str:
        """The trial task's id."""
        return self._trial().task_id

    def status(self, force: bool = False) -> str:
        """ClearML's word for the trial's state."""
        return _STATUS[self._trial().state]

    def elapsed(self) -> float:
        """Seconds from start to end, or to now; -1 before the start."""
        return float(super().elapsed()) if self._trial().duration is None else float(self._trial().duration or 0)

    def iterations(self) -> int:
        """The last iteration reported; -1 before the start."""
        return -1 if self.is_pending() else self._trial().iteration

    def worker(self) -> str | None:
        """The agent that runs or ran the trial."""
        return self._trial().worker or None
