"""What follows from the end of an attempt: its mark, what the sampler learns, its cost, whether it is retried."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.endings import Ending, Streak, has_become_draft, wished
from clearml_hpo.scheduler.launch_queue import Launch
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.outcome_reporter import OutcomeReporter
from clearml_hpo.scheduler.reasons import of_a_row, own_words
from clearml_hpo.scheduler.stopping import Stopping
from clearml_hpo.workers.last_line import could_not_log_in


class Outcomes:
    """Settles attempts that have ended."""

    def __init__(
        self, context: Context, launcher: Launcher, reporter: OutcomeReporter, stopping: Stopping, ledger: Ledger
    ) -> None:
        self._context = context
        self._launcher = launcher
        self._reporter = reporter
        self._stopping = stopping
        self._ledger = ledger
        self._streak = Streak()
        self._ends: Counter[tuple[int, TrialState]] = Counter()

    def end_as_seen(self, trial: Trial, snapshot: TaskSnapshot, ending: Ending) -> None:
        """Settles a trial whose task has ended, as ``endings.ending_of`` reads it.

        Raises:
            ApiError: the server is in trouble; the next step settles it.
        """
        state, reason = ending
        if has_become_draft(snapshot):
            self._end_draft(trial, reason)
        # A draft that was taken back at the end of the study is as good as new.
        is_new = snapshot.status == "created" and snapshot.started_at is None
        is_draft = is_new and state is TrialState.STOPPED
        reason = own_words(self._context.tasks, trial.task_id, reason)
        if state is TrialState.FAILED and could_not_log_in(reason):
            state = TrialState.LOST  # the script had no part in it
        self.end(self._revised(trial), state, reason, mark=not is_draft)

    def _revised(self, trial: Trial) -> Trial:
        """The trial with the parameters that it ran with."""
        params = self._context.hooks.params_of(trial)
        if params == trial.params:
            return trial
        self._context.study.revise(trial.number, params)
        return replace(trial, params=params)

    def _is_to_pause(self, trial: Trial) -> bool:
        """Whether a trial that came to the end of its length may go on to another one."""
        fidelity = self._context.policy.fidelity
        return fidelity is not None and trial.length > 0 and not fidelity.is_last(trial.length)

    def lose(self, trial: Trial, reason: str) -> None:
        """Fails a task that no worker runs any more, and settles its trial as lost, or as it was wished to end."""
        try:
            self._context.tasks.give_up(trial.task_id, reason)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise
        wish = self._context.roster.memo(trial).wish
        self.end(trial, *(wished(trial, self._context.goal, wish) if wish else (TrialState.LOST, reason)))

    def end(self, trial: Trial, state: TrialState, reason: str, *, mark: bool = True) -> None:
        """Settles a trial that has ended so; plans its next attempt, if the policy has one."""
        now = self._context.clock()
        if state is TrialState.COMPLETED and self._is_to_pause(trial):
            state = TrialState.PAUSED
        ended = replace(trial, state=state, reason=reason, ended_at=trial.ended_at or now)
        if mark:
            self._reporter.mark(ended, state)
        running_s = self._context.roster.running_s(trial, now)
        is_ordered = self._context.roster.memo(trial).is_ordered
        self._context.roster.settle(ended)
        self.count(ended)
        self._ledger.ended(ended, running_s)
        if not is_ordered:
            self._count_failures(ended)
        if not self._stopping.is_stopped and self.plan_retry(ended):
            self._reporter.anew(ended)
        else:
            self._ledger.decided(ended, now)
            self._reporter.ended(ended.number, ended)
        # Last: whoever hears of it may make calls too, and these may fail.
        self._context.hooks.on_trial(ended)
        if self._launcher.plans(ended.number):
            self._note_retry(ended)

    def count(self, ended: Trial) -> None:
        """Counts an attempt that has ended, now or under an earlier controller."""
        self._ends[ended.number, ended.state] += 1

    def plan_retry(self, ended: Trial) -> bool:
        """Plans a new attempt, if the policy has one for this end; none of what has failed elsewhere."""
        if ended.is_imported:
            return False
        if ended.continues and ended.state in (TrialState.FAILED, TrialState.STOPPED):
            # What failed did so by its checkpoint, perhaps. What was stopped with its study could still go on.
            anew = ended.state is TrialState.FAILED
            self._launcher.plan(replace(Launch.after(ended), continues="" if anew else ended.continues))
            return True
        retry = self._context.policy.failures.retry(ended.state, self._ends[ended.number, ended.state])
        if retry is None:
            return False
        self._launcher.plan(Launch.after(ended, retry.queue))
        return True

    def run_again(self, ended: Trial) -> None:
        """Plans a new attempt of a trial that has ended, whatever the policy says."""
        self._launcher.plan(Launch.after(ended))
        self._context.study.add(ended.number, ended.params)
        self._note_retry(ended)

    def _note_retry(self, ended: Trial) -> None:
        anew = ended.state is TrialState.FAILED and ended.continues
        how = f", from the beginning: it could not go on from task {ended.continues}" if anew else ""
        self._context.note(f"retrying trial {ended.number}: attempt {ended.attempt + 1}{how}", "warning", ended)

    def _end_draft(self, trial: Trial, reason: str) -> None:
        """Ends a draft that has run: its end would be unknown, and a successor would run it."""
        try:
            self._context.tasks.end_draft(trial.task_id, reason)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise

    def _count_failures(self, ended: Trial) -> None:
        """Stops the study if too many ends in a row are of the same class."""
        if ended.state is TrialState.STOPPED:
            return
        in_a_row = self._streak.add(ended.state)
        is_enough = ended.state.is_retryable and in_a_row == self._context.policy.failures.stop_after
        if is_enough and not self._stopping.is_stopped:
            line, failure = of_a_row(self._context.tasks, ended, in_a_row)
            self._stopping.stop(line, failure=failure)
