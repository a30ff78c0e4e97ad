"""The end of a study: what its trials amount to, what is kept of them, and what the controller task says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from clearml_hpo.backend import cleanup
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import with_backoff
from clearml_hpo.backend.codes import IDLE
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.controller.console import StudyConsole
from clearml_hpo.controller.driver import Driver
from clearml_hpo.controller.opening import Opened
from clearml_hpo.controller.reports import Curves
from clearml_hpo.core.best_effort import reason_of
from clearml_hpo.core.notes import Note
from clearml_hpo.core.trial import Trial, best_trial
from clearml_hpo.report import StudySummary, study_result, summary_page, summary_text

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Ended:
    """How the trials of a study have ended.

    Attributes:
        status: completed, stopped (by a user) or failed (no trial completed).
        reason: in a line, or with the tail of a log.
        trials: by number, each with its latest attempt.
        earlier: attempts that were followed by another one.
    """

    status: str
    reason: str
    trials: Sequence[Trial] = ()
    earlier: Sequence[Trial] = ()


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: completed, stopped (by a user) or failed (no trial completed).
        reason: in a line, or with the tail of a log.
        url: the page of the controller task.
        result: as ``report.study_result`` makes it.
    """

    status: str
    reason: str
    trials: tuple[Trial, ...]
    best: Trial | None
    url: str
    result: dict[str, Any]


class Closing:
    """Ends a study on the server. A server in trouble is asked again: the end of a week's study must not be lost."""

    def __init__(
        self,
        opened: Opened,
        api: Api,
        console: StudyConsole,
        stopped: threading.Event,
        stopped_as: Callable[[], str] = lambda: "interrupted",
    ) -> None:
        """The run's wall time counts from now; ``stopped_as`` says why it was stopped."""
        self._opened = opened
        self._file = opened.file
        self._controller = opened.controller
        self._api = api
        self._console = console
        self._stopped = stopped
        self._stopped_as = stopped_as
        self._began_at = time.time()

    def conclude(self, driver: Driver, tasks: TrialTasks) -> Ended:
        """How the trials have ended; of a study that was not stopped, deletes what nothing needs any more."""
        scheduler = driver.scheduler
        trials, earlier = scheduler.trials, scheduler.earlier_attempts
        if driver.is_stop_asked:
            return Ended("stopped", scheduler.ended, trials, earlier)
        if self._stopped.is_set():
            return Ended("stopped", self._stopped_as(), trials, earlier)
        known = {trial.task_id for trial in (*trials, *earlier)}
        self._with_backoff(lambda: tasks.delete_twins(tasks.drafts() - known, known))
        if scheduler.failure:
            return Ended("failed", scheduler.failure, trials, earlier)
        if scheduler.best is None:
            return Ended("failed", "no trial completed with a value", trials, earlier)
        self._keep((*trials, *earlier))
        return Ended("completed", scheduler.ended, trials, earlier)

    def close(self, ended: Ended, curves: Curves, *, summarises: bool = True) -> Outcome:
        """Leaves a summary on the controller task, if it is to, and ends it.

        Raises:
            ApiError: the server refused the call, or is in trouble and the user does not want to wait.
        """
        if summarises:
            self._leave_summary(ended, curves)
        self._console.add(f"{ended.status}: {ended.reason}")
        if self.finish(ended.status, ended.reason.partition("\n")[0]) and not ended.reason.startswith(IDLE):
            self._console.ended(ended.status, ended.reason)
        return self._outcome(ended)

    def finish(self, status: str, reason: str) -> bool:
        """Ends the controller task and releases the lease, if it is still this controller's; whether it was."""
        lease = self._opened.lease
        assert lease is not None  # it was driven

        def finish() -> bool:
            if not lease.is_mine():  # the study is another controller's, and goes on
                return False
            self._console.send(at_once=True)
            self._controller.finish(status, reason)
            lease.release(reason)
            return True

        return self._with_backoff(finish)

    def finished_earlier(self) -> Outcome:
        """The outcome of a study that was finished before, from its records."""
        opened, records = self._opened, self._opened.records
        trials = sorted(records.settled, key=lambda trial: trial.number) if records else ()
        self._console.progress(trials, {}, records.earlier if records else ())
        self._console.note(
            f"study {self._file.spec.study} is finished ({opened.finished}); a larger budget continues it, "
            "--new starts another"
        )
        return self._outcome(Ended("completed", opened.finished, trials, records.earlier if records else ()))

    def _keep(self, trials: Sequence[Trial]) -> None:
        """Deletes or archives what the file does not want kept."""
        given = self._file.spec.keep
        if given is None:
            return

        def keep() -> None:
            plan = cleanup.plan(self._api, self._controller.task_id, trials, self._file.goal, given.top)
            self._console.note(str(cleanup.apply(self._api, plan, given.others, self._console.note)))

        self._with_backoff(keep)

    def _leave_summary(self, ended: Ended, curves: Curves) -> None:
        """Page and text as artifacts of the controller task; without them the study has ended all the same."""
        lease = self._opened.lease
        if not ended.trials or lease is None:
            return
        self._console.note("writing the summary")  # the plots and their upload take some seconds
        controller, file = self._controller, self._file
        summary = StudySummary(
            name=file.spec.study,
            study_id=controller.task_id,
            project=file.spec.project,
            url=controller.url,
            status=ended.status,
            reason=ended.reason,
            goal=file.goal,
            space=file.space,
            trials=ended.trials,
            earlier=ended.earlier,
            driven_s=lease.driven_s,
            at=time.time(),
            url_of=lambda trial: self._api.task_url(controller.project_id, trial.task_id),
            histories=curves,
        )
        later = f"it can be written later: clearml-hpo study report {controller.task_id}"
        for kind, name, render in (("html", "summary.html", summary_page), ("plain", "summary.txt", summary_text)):
            try:
                text = render(summary.name, [summary])
                controller.upload_artifact(name, text, name, content_type=f"text/{kind}")
            except Exception as error:  # of whatever kind: the study is complete, and its end is still to be noted
                self._console.note(Note(f"no {name}: {reason_of(error)}; {later}", "warning"))

    def _with_backoff(self, call: Callable[[], _Answer]) -> _Answer:
        return with_backoff(call, self._console.note, self._stopped)

    def _outcome(self, ended: Ended) -> Outcome:
        trials = tuple(ended.trials)
        result = study_result(
            study=self._file.spec.study,
            study_id=self._controller.task_id,
            goal=self._file.goal,
            trials=trials,
            earlier=ended.earlier,
            status=ended.status,
            reason=ended.reason,
            api_calls=self._api.calls,
            wall_s=time.time() - self._began_at,
        )
        return Outcome(
            ended.status, ended.reason, trials, best_trial(trials, self._file.goal), self._controller.url, result
        )
