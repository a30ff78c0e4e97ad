"""Running trials that come to an end here: pruned, at a limit, hanging, or lost with their worker."""

from __future__ import annotations

from collections.abc import Collection

from clearml_hpo.backend.codes import LOST, PRUNED_AT
from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.heartbeats import HangDetector, Heartbeats
from clearml_hpo.scheduler.observing import Observer
from clearml_hpo.scheduler.outcomes import Outcomes
from clearml_hpo.scheduler.stopping import Stopping


class Limits:
    """Checks each running trial once per step."""

    def __init__(self, context: Context, observer: Observer, stopping: Stopping, outcomes: Outcomes) -> None:
        self._context = context
        self._observer = observer
        self._stopping = stopping
        self._outcomes = outcomes
        self._heartbeats = Heartbeats()
        self._hang_detector = HangDetector(context.policy.failures.silent_after_s, context.tasks.output)

    def listen(self, watched: Collection[Trial]) -> None:
        """A round begins, of these trials."""
        now, task_ids = self._context.clock(), {trial.task_id for trial in watched}
        self._heartbeats.listen(now)
        self._heartbeats.forget_others(task_ids)
        self._hang_detector.listen(now, task_ids)

    def check(self, trial: Trial, snapshot: TaskSnapshot, wants_pruning: bool) -> None:
        """Ends a running trial that the pruner or a limit ends, that hangs, or that shows no sign of life.

        Raises:
            ApiError: a call failed; the next step checks again.
        """
        limits, lost_after_s = self._context.policy.limits, self._context.policy.failures.lost_after_s
        reported, now = self._context.roster.memo(trial).reported, self._context.clock()
        sign = (snapshot.updated_at, snapshot.iteration, snapshot.summaries)
        silent_s = self._heartbeats.silent_s(trial.task_id, sign, now)
        if trial.queue in self._context.policy.placement.outside:
            lost_after_s = None  # whoever has handed it out hears of its worker
        if lost_after_s is not None and silent_s > lost_after_s:
            lost = self._observer.last_values(trial, snapshot)
            self._outcomes.lose(lost, f"{LOST} no sign of life for {silent_s:.0f} s")
        elif wants_pruning:
            self._stopping.wish(trial, TrialState.PRUNED, f"{PRUNED_AT} {reported}")
        elif limits.time_s is not None and self._context.roster.running_s(trial, now) > limits.time_s:
            self._complete(trial, snapshot, f"stopped after {limits.time_s:g} s")
        elif limits.max_iterations is not None and reported > limits.max_iterations:
            self._complete(trial, snapshot, f"stopped after {limits.max_iterations} iterations")
        elif self._hangs(trial, snapshot):
            self._stopping.wish(trial, TrialState.FAILED, f"it hangs: {self._hang_detector}")

    def _hangs(self, trial: Trial, snapshot: TaskSnapshot) -> bool:
        """Whether it puts out nothing; one that is to end already is not looked at."""
        sign = (snapshot.started_at, snapshot.summaries)  # another run of the task is not silent yet
        outside = self._context.policy.placement.outside
        if self._context.roster.memo(trial).wish is not None or trial.queue in outside:
            return False
        return self._hang_detector.hangs(trial.task_id, sign, self._context.clock())

    def _complete(self, trial: Trial, snapshot: TaskSnapshot, reason: str) -> None:
        """Ends a trial at a limit. What counts of its values is marked on its task, in case its end is never seen."""
        if self._context.roster.memo(trial).wish is None:
            self._context.roster.keep(self._observer.last_values(trial, snapshot))
            self._stopping.wish(trial, TrialState.COMPLETED, reason)
