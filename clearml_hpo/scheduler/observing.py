"""What trials report, and where their tasks stand: one poll for all of them, and histories of those that moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clearml_hpo.backend.trial_tasks import HISTORY_CHUNK, LIVE, POLL_CHUNK, TaskSnapshot
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.roster import AttemptMemo

_STATES = {"queued": TrialState.QUEUED, "in_progress": TrialState.RUNNING}


@dataclass(frozen=True)
class Seen:
    """A trial as it was seen.

    Attributes:
        trial: with what ``snapshot`` says.
        snapshot: None if the task was deleted.
        is_changed: whether it is in another state than before.
        wants_pruning: whether the pruner would have ended it at one of the steps that are new.
    """

    trial: Trial
    snapshot: TaskSnapshot | None
    is_changed: bool = False
    wants_pruning: bool = False


class Observer:
    """Looks at trials, and shows the pruner what they report.

    Attributes:
        calls: how many the last look has cost.
    """

    def __init__(self, context: Context, restart: Callable[[Trial], Trial]) -> None:
        """``restart`` makes of a trial that a user runs once more from its start one that has not run."""
        self._study = context.study
        self._tasks = context.tasks
        self._roster = context.roster
        self._goal = context.goal
        self._limits = context.policy.limits
        self._outside = context.policy.placement.outside
        self._clock = context.clock
        self._restart = restart
        self.calls = 0

    @property
    def prunes(self) -> bool:
        """Whether histories are of any use to a pruner."""
        return self._study.prunes and self._goal.pruning_objective is not None

    def look(self, trials: Sequence[Trial]) -> Iterator[Seen]:
        """Where these trials stand.

        What is not taken from the iterator, as a call for another trial has failed, is as if it had not been seen.
        """
        snapshots = self._tasks.poll([trial.task_id for trial in trials])
        histories = self._histories(trials, snapshots)
        self.calls = math.ceil(len(trials) / POLL_CHUNK) + math.ceil(len(histories) / HISTORY_CHUNK)
        return (self._see(t, snapshots.get(t.task_id), histories.get(t.task_id, ())) for t in trials)

    def _see(self, trial: Trial, snapshot: TaskSnapshot | None, history: Sequence[tuple[int, float]]) -> Seen:
        if snapshot is None:
            return Seen(trial, None)
        if _begins_anew(trial, snapshot):
            trial = self._restart(trial)
        memo = self._roster.memo(trial)
        progress = self._progress(snapshot)
        snapshot, history = self._tasks.as_reported(snapshot, history)
        wants_pruning = self._report(trial, memo, history)
        memo.progress = progress
        seen = self._as_seen(trial, snapshot)
        self._roster.keep(seen)
        if seen.state is TrialState.RUNNING:
            memo.runs(snapshot, self._clock())
        return Seen(seen, snapshot, seen.state is not trial.state, wants_pruning)

    def judge(self, trial: Trial, step: int, value: float) -> bool:
        """Shows the pruner one step that a live trial reports; whether it would have ended it there."""
        return self._report(trial, self._roster.memo(trial), [(step, value)])

    def last_values(self, trial: Trial, snapshot: TaskSnapshot) -> Trial:
        """The trial with its values so far as its last ones."""
        return self._as_seen(trial, self._tasks.as_reported(snapshot, (), ends=True)[0])

    def _histories(
        self, trials: Sequence[Trial], snapshots: Mapping[str, TaskSnapshot]
    ) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Histories of the trials in which something moved, if anybody has a use for them."""
        if not (self.prunes or self._limits.max_iterations is not None):
            return {}
        moved = [
            trial.task_id
            for trial in trials
            if trial.queue not in self._outside
            and (snapshot := snapshots.get(trial.task_id))
            and self._goal.counted.metric in snapshot.summaries
            and self._progress(snapshot) != self._roster.memo(trial).progress
        ]
        return self._tasks.histories(moved) if moved else {}

    def _progress(self, snapshot: TaskSnapshot) -> object:
        """Changes with every report that counts; the iteration alone may be that of another scalar."""
        summary = snapshot.summaries.get(self._goal.counted.metric)
        return summary, None if summary is not None and summary.count > 0 else snapshot.iteration

    def _report(self, trial: Trial, memo: AttemptMemo, history: Sequence[tuple[int, float]]) -> bool:
        """Shows the pruner every step that it has not seen; True if it would have pruned at one of them."""
        wants_pruning = False
        for step, value in history:
            if step <= memo.reported:
                continue
            memo.reported = step
            if math.isfinite(value):
                pruned_here = self._study.report(trial.number, step, value)
                wants_pruning |= pruned_here and step >= self._limits.min_iterations
        return wants_pruning and self._roster.running_s(trial, self._clock()) >= self._limits.min_time_s

    def _as_seen(self, trial: Trial, snapshot: TaskSnapshot) -> Trial:
        values, before = self._goal.values(snapshot.summaries), self._roster.before(trial)
        return replace(
            trial,
            state=_STATES.get(snapshot.status, trial.state),
            values=self._goal.carried(values, before.values) if before is not None and snapshot.summaries else values,
            violations=self._goal.violations(snapshot.summaries),
            not_finite=snapshot.not_finite,
            iteration=snapshot.iteration,
            worker=snapshot.worker or trial.worker,
            # A task that is run once more has the times of its last run until it starts, or ends, again.
            started_at=None if snapshot.status == "queued" else snapshot.started_at,
            ended_at=None if snapshot.status in LIVE else snapshot.ended_at,
        )


def _begins_anew(trial: Trial, snapshot: TaskSnapshot) -> bool:
    """Whether a trial that ran was enqueued again since, or has started from its first iteration again."""
    if trial.state is not TrialState.RUNNING or trial.started_at is None:
        return False
    return snapshot.status == "queued" or (
        snapshot.status == "in_progress"
        and snapshot.started_at != trial.started_at
        and snapshot.iteration < trial.iteration
    )
