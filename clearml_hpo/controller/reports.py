"""What is recorded of a study beside its trials: plots on the controller task, and the copy in an Optuna storage."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import with_backoff
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.controller.console import StudyConsole
from clearml_hpo.controller.opening import Opened
from clearml_hpo.core.notes import Note
from clearml_hpo.report import Publisher
from clearml_hpo.scheduler import Scheduler
from clearml_hpo.search.mirror import Mirror, StorageTrouble

Curves = Mapping[str, Sequence[tuple[int, float]]]


class StudyReports:
    """Keeps plots and storage up to date, step by step; neither is a reason for a study to fail.

    Attributes:
        curves: the reported ``(iteration, value)`` by task, of the trials whose curves are shown at the end.
    """

    def __init__(
        self, opened: Opened, api: Api, tasks: TrialTasks, console: StudyConsole, stopped: threading.Event
    ) -> None:
        """Nothing is reported yet."""
        file, controller = opened.file, opened.controller
        self._file = file
        self._tasks = tasks
        self._console = console
        self._stopped = stopped
        self._mirror = _mirror(opened)
        self._storage_trouble = ""
        self.curves: Curves = {}
        self._publisher = Publisher(
            controller,
            file.goal,
            lambda trial: api.task_url(controller.project_id, trial.task_id),
            console.effort,
            clock=time.time,
            space=file.space,
            budget=file.budget.trials,
            histories=self._read_curves,
        )
        if opened.records is not None and opened.records.settled:
            self._publisher.postpone()  # they take seconds in which nothing is launched

    def step(self, scheduler: Scheduler) -> None:
        """Reports what a step of the loop has brought, if it is time to.

        Raises:
            ApiError: the server is in trouble.
        """
        self._console.attempt("the report is behind", lambda: self._publish(scheduler))
        self.follow(scheduler)

    def complete(self, scheduler: Scheduler) -> None:
        """Reports all that there is, once no trial runs any more; waits for a server in trouble."""
        self.follow(scheduler, to_the_end=True)

        def publish() -> None:
            with_backoff(lambda: self._publish(scheduler, final=True), self._console.note, self._stopped)

        self._console.attempt("the report is behind", publish)

    def follow(self, scheduler: Scheduler, *, to_the_end: bool = False) -> None:
        """Copies to the storage what is new there; one that does not answer is no reason to stop."""
        if self._mirror is None:
            return
        try:
            attempts = scheduler.earlier_attempts
            while not self._mirror.follow(scheduler.trials, attempts, is_over=to_the_end) and to_the_end:
                pass
            self._storage_trouble = ""
        except StorageTrouble as error:
            if str(error) != self._storage_trouble:
                self._console.note(Note(f"the storage is behind: {error}", "warning"))
            self._storage_trouble = str(error)

    def _publish(self, scheduler: Scheduler, *, final: bool = False) -> None:
        self._publisher.budget = self._file.budget.trials  # it may have grown
        trials = scheduler.trials
        remaining = self._file.budget.remaining(scheduler.spent, len(trials))
        self._publisher.publish(trials, scheduler.earlier_attempts, final=final, remaining=remaining)

    def _read_curves(self, task_ids: Sequence[str]) -> Curves:
        self.curves = self._tasks.histories(task_ids)
        return self.curves


def _mirror(opened: Opened) -> Mirror | None:
    file = opened.file
    if file.spec.storage is None:
        return None
    return Mirror(file.spec.storage, file.spec.study, opened.controller.task_id, file.goal, file.space)
