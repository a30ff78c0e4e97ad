"""Trials that a user runs again: by ``study retry``, or by enqueueing their tasks."""

from __future__ import annotations

import math
from dataclasses import replace

from clearml_hpo.backend.trial_tasks import LIVE, TaskSnapshot
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.endings import is_back
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.outcome_reporter import OutcomeReporter
from clearml_hpo.scheduler.outcomes import Outcomes
from clearml_hpo.scheduler.stopping import Stopping

_MOST_LOOKED_BACK = 500


class Reruns:
    """Takes up trials that live again although they had ended, or that start anew."""

    def __init__(
        self,
        context: Context,
        launcher: Launcher,
        reporter: OutcomeReporter,
        stopping: Stopping,
        outcomes: Outcomes,
        ledger: Ledger,
    ) -> None:
        self._context = context
        self._launcher = launcher
        self._reporter = reporter
        self._stopping = stopping
        self._outcomes = outcomes
        self._ledger = ledger
        self._looked_at = -math.inf

    def retry(self, number: int) -> None:
        """Plans one more attempt of a trial that ended without a value; others are left as they are."""
        trial = self._context.roster.get(number)
        if trial is None or not trial.state.is_retryable or self._stopping.is_stopped:
            state = trial.state.value if trial else "not known"
            self._context.note(f"trial {number} cannot be run again: it is {state}", "warning", trial)
        elif self._launcher.plans(number):
            self._context.note(f"trial {number} is about to run again", trial=trial)
        else:
            self._outcomes.run_again(trial)
            self._stopping.is_hurried = True

    def begin_anew(self, trial: Trial) -> Trial:
        """A running trial that a user has enqueued again, as one that has not run; what it has used is used."""
        self._reporter.unmark(trial)
        self._context.note(f"trial {trial.number} was re-enqueued by a user; restarting it", "warning", trial)
        self._ledger.ended(trial, self._context.roster.running_s(trial, self._context.clock()))
        self._context.roster.forget(trial)
        self._reporter.anew(trial)
        fresh = replace(trial, state=TrialState.QUEUED, values=(), iteration=0, started_at=None)
        self._context.roster.keep(fresh)
        if self._stopping.is_stopped:
            self._stopping.stop_again(fresh)
        return fresh

    def look_back(self, after_s: float) -> None:
        """Looks, ``after_s`` seconds after the last time, at attempts that failed or were pruned.

        Raises:
            ApiError: a call failed; the next step looks again.
        """
        now, roster = self._context.clock(), self._context.roster
        if self._stopping.is_stopped or now - self._looked_at < after_s:
            return
        ended = [t for t in roster.latest if t.state.is_retryable or t.state is TrialState.PRUNED]
        watched = (roster.earlier + ended)[-_MOST_LOOKED_BACK:]
        if watched:
            snapshots = self._context.tasks.poll([trial.task_id for trial in watched])
            for trial in watched:
                snapshot = snapshots.get(trial.task_id)
                if snapshot is not None and is_back(trial, snapshot):
                    self._come_back(trial, snapshot)
        self._looked_at = now

    def _come_back(self, trial: Trial, snapshot: TaskSnapshot) -> None:
        """Takes up an attempt that lives again; ends it if a later one has taken its place."""
        latest = self._context.roster[trial.number]
        if latest.task_id != trial.task_id:
            if snapshot.status in LIVE:
                self._context.executor.withdraw([trial.task_id])
                later = f"attempt {latest.attempt} of trial {trial.number} has taken its place"
                self._context.executor.abort([trial.task_id], later)
            return
        self._reporter.unmark(trial)
        text = f"trial {trial.number} was {trial.state.value} and is {snapshot.status} again"
        self._context.note(text, "warning", trial)
        # What waits has the times of its last run.
        if snapshot.status != "queued" and snapshot.started_at == trial.started_at:
            self._ledger.goes_on_running(trial)
        if not self._launcher.unplan(trial.number):  # the sampler has seen it end
            self._context.study.add(trial.number, trial.params)
        self._context.roster.forget(trial)
        fresh = replace(trial, state=TrialState.QUEUED, reason="", started_at=None, ended_at=None)
        self._context.roster.keep(fresh)
