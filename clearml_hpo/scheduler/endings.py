"""How a trial has ended, from what the server says of its task."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clearml_hpo.backend.codes import (
    AGENT_ENDED,
    CONTROLLER_ENDED,
    LOST,
    MOVED_TO_KUBERNETES,
    PRUNED_AT,
    PRUNED_BY_SCRIPT,
    TOLD_NOT_FINITE,
    is_non_responsive,
)
from clearml_hpo.backend.trial_tasks import COMPLETED, LIVE, TaskSnapshot
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.workers.last_line import was_killed

Ending = tuple[TrialState, str]


def ending_of(trial: Trial, snapshot: TaskSnapshot, goal: Goal, wish: Ending | None) -> Ending | None:
    """How the trial has ended, and why; None while it lives.

    Args:
        trial: with the values of ``snapshot``.
        wish: how this side has wished it to end.
    """
    if snapshot.status in LIVE or (snapshot.status == "stopped" and snapshot.reason == MOVED_TO_KUBERNETES):
        return None
    if snapshot.status in COMPLETED:
        return _with_values(trial, goal)
    if wish is not None:
        return wished(trial, goal, wish)
    if snapshot.status == "failed":
        return _failure(snapshot.reason), snapshot.reason
    if snapshot.status == "created":
        ran = " while it ran" if has_become_draft(snapshot) else ""
        return TrialState.ABORTED, f"it was taken out of its queue{ran}"
    if snapshot.reason.startswith((PRUNED_BY_SCRIPT, PRUNED_AT)):
        return TrialState.PRUNED, snapshot.reason
    if snapshot.reason.startswith(AGENT_ENDED):
        return TrialState.LOST, f"its agent was ended ({snapshot.reason})"
    if snapshot.reason.startswith(CONTROLLER_ENDED):  # the study was taken over from it, and it took its workers along
        return TrialState.LOST, snapshot.reason
    if is_non_responsive(snapshot.reason):
        return TrialState.LOST, f"the server heard nothing of it ({snapshot.reason})"
    return TrialState.ABORTED, snapshot.reason or "stopped by a user"


def has_become_draft(snapshot: TaskSnapshot) -> bool:
    """Whether a task was made a draft while it ran: ClearML does so with what is dequeued then, however late.

    A user's reset leaves a draft without a time of a start.
    """
    return snapshot.status == "created" and snapshot.started_at is not None


def wished(trial: Trial, goal: Goal, wish: Ending) -> Ending:
    """The end of a trial that has ended as this side has wished; one without a value cannot be completed."""
    state, reason = wish
    return (_with_values(trial, goal)[0], reason) if state is TrialState.COMPLETED else wish


def is_back(trial: Trial, snapshot: TaskSnapshot) -> bool:
    """Whether a trial that has ended lives again, or has lived again and was completed."""
    if snapshot.status in LIVE:
        return True
    has_run_again = trial.state is TrialState.LOST or snapshot.started_at != trial.started_at
    return snapshot.status in COMPLETED and trial.state.is_retryable and has_run_again


def _failure(reason: str) -> TrialState:
    if reason.startswith(LOST):
        return TrialState.LOST
    if reason.startswith(TOLD_NOT_FINITE):
        return TrialState.NOT_FINITE
    return TrialState.KILLED if was_killed(reason) else TrialState.FAILED


@dataclass
class Streak:
    """Ends of the same class in a row."""

    state: TrialState | None = None
    length: int = 0

    def add(self, state: TrialState) -> int:
        """Its length with this end."""
        self.length = self.length + 1 if state is self.state else 1
        self.state = state
        return self.length


def _with_values(trial: Trial, goal: Goal) -> Ending:
    for objective, value in zip(goal.objectives, trial.values, strict=True):
        if value is None:
            return TrialState.NO_OBJECTIVE, f"{objective.metric} was never reported"
        if objective.metric in trial.not_finite and math.isnan(value):
            return TrialState.NOT_FINITE, f"{objective.metric} was NaN or infinite, which the SDK sends as 0"
        if not math.isfinite(value):
            return TrialState.NOT_FINITE, f"{objective.metric} is {value}"
    return TrialState.COMPLETED, ""
