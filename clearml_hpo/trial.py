"""A trial: one point of the search space, run as a clone of the template task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from clearml_hpo.objective import Objective
from clearml_hpo.search_space import Value


class TrialState(str, Enum):
    """Where a trial stands.

    Only ``PRUNED`` is told to the sampler as pruned; every other end without a value is a failure.
    """

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    NO_OBJECTIVE = "no_objective"
    ABORTED = "aborted"

    @property
    def is_live(self) -> bool:
        """Whether the trial waits or runs."""
        return self in (TrialState.QUEUED, TrialState.RUNNING)


@dataclass(frozen=True)
class Trial:
    """One trial, as far as it has come; changed by ``dataclasses.replace``.

    Attributes:
        number: from 0; with a script as template, 0 is the baseline.
        attempt: from 1; a trial that is run again keeps its number.
        params: the values of the varying parameters.
        task_id: the trial task.
        value: the objective as reported so far; final once the trial has ended.
        iteration: the last iteration that the task reported.
        worker: the agent that runs or ran it.
        reason: why it ended as it did, if there is something to say.
        queued_at: seconds since the epoch, as are ``started_at`` and ``ended_at``.
    """

    number: int
    params: Mapping[str, Value]
    task_id: str
    attempt: int = 1
    state: TrialState = TrialState.QUEUED
    value: float | None = None
    iteration: int = 0
    worker: str = ""
    reason: str = ""
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = field(default=None)

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, or None."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


def best_trial(trials: Iterable[Trial], objective: Objective) -> Trial | None:
    """The completed trial with the best value; of equal ones the first."""
    best: Trial | None = None
    for trial in trials:
        if trial.state is not TrialState.COMPLETED or trial.value is None:
            continue
        if best is None or best.value is None or objective.better(trial.value, best.value):
            best = trial
    return best
