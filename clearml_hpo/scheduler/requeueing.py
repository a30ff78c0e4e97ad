"""Trials that wait in a queue in vain, and move to another one."""

from __future__ import annotations

from collections.abc import Sequence

from clearml_hpo.backend.codes import LOST
from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.outcomes import Outcomes
from clearml_hpo.scheduler.queues import Queues
from clearml_hpo.scheduler.stopping import Stopping


class Requeueing:
    """Moves trials out of queues that no worker serves; loses those that a worker took and never started."""

    def __init__(
        self, context: Context, launcher: Launcher, queues: Queues, stopping: Stopping, outcomes: Outcomes
    ) -> None:
        self._context = context
        self._launcher = launcher
        self._queues = queues
        self._stopping = stopping
        self._outcomes = outcomes
        self._moving: set[str] = set()  # tasks on their way to another queue, if the answer to that was lost

    def look(self) -> None:
        """Sees to the trials that wait.

        Raises:
            ApiError: a call failed; the next step looks again.
        """
        now = self._context.clock()
        self._queues.look(now)
        for trial in self._queues.missing(self._queued(), self._context.policy.failures.lost_after_s, now):
            self._outcomes.lose(trial, f"{LOST} it was taken out of its queue by a worker that never started it")
        if not self._stopping.is_stopped:
            self._move(self._queues.unserved(self._queued()))

    def went_with_its_queue(self, trial: Trial, snapshot: TaskSnapshot, ending: TrialState) -> bool:
        """Whether a trial no longer waits because its queue was deleted or it moves, not because a user wanted so."""
        was_taken_out = (trial.state, snapshot.status, ending) == (TrialState.QUEUED, "created", TrialState.ABORTED)
        if not was_taken_out or self._stopping.is_stopped:
            return False
        return trial.task_id in self._moving or self._queues.was_deleted(trial.queue, self._context.clock())

    def fail_without_queues(self) -> None:
        """Fails the study if some of its trials have nowhere to go; what runs comes to its end."""
        deleted = ", ".join(map(repr, self._queues.deleted_choice))
        if deleted:
            failure = f"every queue that some trials may go to was deleted: {deleted}; make it again, and go on"
            self._stopping.stop("there is no queue any more", abort=False, failure=failure)

    def _queued(self) -> list[Trial]:
        return [trial for trial in self._launcher.submitted if trial.state is TrialState.QUEUED]

    def _move(self, trials: Sequence[Trial]) -> None:
        """Has trials wait in another queue."""
        self._moving = {trial.task_id for trial in trials}
        if not trials:
            return
        left = self._context.executor.withdraw([trial.task_id for trial in trials])
        self._moving = set()
        trials = [trial for trial in trials if trial.task_id not in left]
        if not trials:
            return
        for trial in trials:
            self._launcher.requeue(trial)
        numbers = ", ".join(str(trial.number) for trial in trials)
        queues = ", ".join(sorted({repr(trial.queue) for trial in trials}))
        self._context.note(
            f"no worker serves queue {queues}: waiting trials {numbers} move to another queue", "warning"
        )
