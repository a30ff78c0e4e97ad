"""A trial: one point of the search space, run as a clone of the template task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.values import Value


class TrialState(str, Enum):
    """Where a trial stands; docs/failures.md explains those that end without a value.

    ``PRUNED`` and ``PAUSED`` are told to the sampler as pruned; every other end without a value is a failure. A paused
    trial has trained for a while, and may go on from its checkpoint; one that never does stays paused.
    """

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    PAUSED = "paused"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"
    NO_OBJECTIVE = "no_objective"
    NOT_FINITE = "not_finite"
    ABORTED = "aborted"
    STOPPED = "stopped"

    @property
    def is_live(self) -> bool:
        """True if the trial waits or runs."""
        return self in (TrialState.QUEUED, TrialState.RUNNING)

    @property
    def is_failure(self) -> bool:
        """True if it ended without a value, and no user wanted that."""
        return self.is_retryable and self is not TrialState.ABORTED

    @property
    def is_retryable(self) -> bool:
        """True if ``failures`` of a study file says how often a trial that ended so is retried."""
        return self in _IN_A_ROW

    @property
    def is_without_value(self) -> bool:
        """True if a user may have a trial that ended so retried; ``STOPPED`` ended with its study."""
        return self.is_retryable or self is TrialState.STOPPED

    @property
    def in_a_row(self) -> str:
        """What several trials that ended so have done, as the end of a sentence."""
        return _IN_A_ROW[self]


_IN_A_ROW = {
    TrialState.FAILED: "have failed",
    TrialState.KILLED: "were killed",
    TrialState.LOST: "were lost",
    TrialState.NO_OBJECTIVE: "have ended without reporting the objective",
    TrialState.NOT_FINITE: "have reported NaN or infinity",
    TrialState.ABORTED: "were aborted",
}
RETRYABLE = tuple(_IN_A_ROW)
"""States whose retries a study file has a key for, which is their name."""


@dataclass(frozen=True)
class Trial:
    """One trial, as far as it has come; changed by ``dataclasses.replace``.

    Attributes:
        number: from 0; with a script as template, 0 is the baseline.
        attempt: from 1; a trial that is run again keeps its number.
        params: the values of the varying parameters; of conditional ones those that are active.
        task_id: the trial task.
        values: the objectives as reported so far, one each; final once the trial has ended; empty before any was seen.
        violations: by how much each constraint on a metric is broken, 0 or less if it is kept.
        iteration: the last iteration that the task reported.
        queue: name of the queue that it was put in.
        worker: the agent that runs or ran it.
        reason: why it ended as it did, if there is something to say.
        queued_at: seconds since the epoch, as are ``started_at`` and ``ended_at``.
        not_finite: scalars, ``title/series``, of which the SDK has sent 0 in place of NaN or infinity.
        is_imported: whether it ended elsewhere, and was added with its values.
        length: for how long this attempt trains, where the study file has ``fidelity``; else 0.
        continues: the task, an earlier attempt, from whose checkpoint this attempt goes on; empty if it begins anew.
    """

    number: int
    params: Mapping[str, Value]
    task_id: str
    attempt: int = 1
    state: TrialState = TrialState.QUEUED
    values: tuple[float | None, ...] = ()
    violations: tuple[float, ...] = ()
    iteration: int = 0
    queue: str = ""
    worker: str = ""
    reason: str = ""
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = field(default=None)
    not_finite: frozenset[str] = frozenset()
    is_imported: bool = False
    length: int = 0
    continues: str = ""

    @property
    def value(self) -> float | None:
        """The value of the first objective, often the only one."""
        return self.values[0] if self.values else None

    @property
    def is_feasible(self) -> bool:
        """Whether it keeps all constraints on metrics."""
        return all(violation <= 0 for violation in self.violations)

    @property
    def final_values(self) -> tuple[float, ...] | None:
        """All values of a completed trial; None of any other."""
        values = tuple(value for value in self.values if value is not None)
        return values if self.state is TrialState.COMPLETED and values and len(values) == len(self.values) else None

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, or None."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


def best_trial(trials: Iterable[Trial], goal: Goal) -> Trial | None:
    """The completed, feasible trial with the best value; of equal ones the first.

    With several objectives the one of the Pareto front that is best in the first of them.
    """
    best: Trial | None = None
    for trial in pareto_front(trials, goal):
        if best is None or goal.objectives[0].better(_first(trial), _first(best)):
            best = trial
    return best


def pareto_front(trials: Iterable[Trial], goal: Goal) -> list[Trial]:
    """The completed, feasible trials that no other one beats in all objectives, in the order given.

    Of equal ones the first; with one objective this is the best trial alone.
    """
    front: list[Trial] = []
    for trial in trials:
        if trial.final_values is None or not trial.is_feasible:
            continue
        if any(_covers(other, trial, goal) for other in front):
            continue
        front = [other for other in front if not _covers(trial, other, goal)]
        front.append(trial)
    return front


def _covers(one: Trial, other: Trial, goal: Goal) -> bool:
    """Whether ``one`` is nowhere worse than ``other``."""
    pairs = zip(goal.objectives, one.final_values or (), other.final_values or (), strict=True)
    return all(a == b or objective.better(a, b) for objective, a, b in pairs)


def _first(trial: Trial) -> float:
    values = trial.final_values
    assert values is not None  # of the front
    return values[0]
