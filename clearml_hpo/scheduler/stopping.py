"""Ends trials that live: each has the end that was first wished for it, and the calls are made until they succeed."""

from __future__ import annotations

from dataclasses import replace

from clearml_hpo.backend.codes import BAD_REQUEST
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.outcome_reporter import OutcomeReporter


class Stopping:
    """Stops the study, and single trials of it.

    Attributes:
        is_stopped: whether nothing more is launched.
        reason: why; empty before.
        failure: why the study has failed, with the tail of a log; empty if it has not.
        is_hurried: whether a step is to follow at once.
    """

    def __init__(self, context: Context, launcher: Launcher, reporter: OutcomeReporter) -> None:
        self.is_stopped = False
        self.reason = ""
        self.failure = ""
        self.is_hurried = False
        self._context = context
        self._launcher = launcher
        self._reporter = reporter
        self._is_new = False  # not yet on record
        self._only_waiting: set[str] = set()  # tasks that are to end unless they have started meanwhile

    def stop(self, reason: str, *, abort: bool = True, failure: str = "") -> None:
        """Has the next :meth:`act` launch no more, take back what waits and, if ``abort``, end what runs.

        Args:
            failure: what has made the study fail, if it has.
        """
        self.reason = reason
        self.failure = failure or self.failure
        self.is_stopped = self._is_new = self.is_hurried = True
        self._launcher.stop()
        queued = {trial.task_id for trial in self._context.roster.live if trial.state is TrialState.QUEUED}
        self._only_waiting = set() if abort else queued
        for trial in self._context.roster.live:
            if abort or trial.task_id in queued:
                self.wish(trial, TrialState.STOPPED, reason)

    def stop_again(self, trial: Trial) -> None:
        """Has a trial end that was enqueued again although the study stops."""
        self.wish(trial, TrialState.STOPPED, self.reason)
        self._is_new = True

    def wish(self, trial: Trial, state: TrialState, reason: str) -> None:
        """Notes how a trial is to end; :meth:`act` makes the calls. The first wish counts."""
        memo = self._context.roster.memo(trial)
        memo.wish = memo.wish or (state, reason)

    def act(self) -> None:
        """Makes the calls for which there are wishes.

        Raises:
            ApiError: a call failed; the next time makes those that are missing.
        """
        self.is_hurried = False
        if self._is_new:
            self._record()
            self._is_new = False
        self._take_back()
        self._abort(self._mark())

    def _record(self) -> None:
        """Notes on the controller task that the trials are about to be stopped."""
        try:
            self._context.hooks.on_stopping(self.reason)
        except ApiError as error:  # the study's task was deleted: what runs must be ended all the same
            if error.code != BAD_REQUEST:
                raise
            self._context.note(
                f"could not record on the controller task that the study is stopping: {error}", "warning"
            )

    def _take_back(self) -> None:
        """Takes what waits and is to end out of the queues.

        A worker may have taken a task and died before it started it: such a task is asked for again the next time.
        """
        roster = self._context.roster
        waiting = [trial for trial in roster.live if trial.state is TrialState.QUEUED]
        queued = [trial.task_id for trial in waiting if roster.memo(trial).wish is not None]
        if queued:
            self._context.executor.withdraw(queued)

    def _mark(self) -> dict[str, list[Trial]]:
        """Marks the running trials that are to end, and returns them by reason.

        The mark comes first: a controller that takes over after a crash must know why the task was stopped.
        """
        by_reason: dict[str, list[Trial]] = {}
        for trial in self._context.roster.live:
            memo = self._context.roster.memo(trial)
            if trial.state is TrialState.RUNNING and trial.task_id in self._only_waiting:
                memo.wish = None if memo.wish == (TrialState.STOPPED, self.reason) else memo.wish
            if memo.wish is None or memo.asked_to_stop_at is not None or trial.state is TrialState.QUEUED:
                continue
            state, reason = memo.wish
            if state is not TrialState.STOPPED:
                self._reporter.mark(replace(trial, reason=reason), state)
            by_reason.setdefault(reason, []).append(trial)
        return by_reason

    def _abort(self, by_reason: dict[str, list[Trial]]) -> None:
        for reason, trials in by_reason.items():
            self._context.executor.abort([trial.task_id for trial in trials], reason)
            for trial in trials:
                self._context.roster.memo(trial).asked_to_stop_at = self._context.clock()
