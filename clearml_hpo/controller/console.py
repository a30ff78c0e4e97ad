"""What a run tells its user: on the terminal, on the console of the controller task, and by notifications."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from clearml_hpo.backend.console_log import ConsoleLog
from clearml_hpo.controller.opening import Opened
from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.notes import Note
from clearml_hpo.core.trial import Trial
from clearml_hpo.notify import About, Notifier
from clearml_hpo.views.display import Progress, ToldView, View

_Result = TypeVar("_Result")


class StudyConsole:
    """Prints on the terminal; what is worth a line goes to the console of the controller task too.

    Notifications are sent as the study file has them (``notify``).

    Attributes:
        effort: does what a study does not depend on, such as reports; prints what fails of it.
    """

    def __init__(self, opened: Opened, view: View) -> None:
        """Nothing is printed or sent yet."""
        self._opened = opened
        self._said = ConsoleLog(opened.controller)
        self._view = ToldView(view, opened.file.goal, self._said.add)
        self.effort = BestEffort(self._view.note)
        self._notifier = _notifier_of(opened)

    def note(self, text: str) -> None:
        """Prints a line, and adds it to the console."""
        self._view.note(text)

    def add(self, text: str) -> None:
        """Adds a line to the console alone; the terminal has it from elsewhere."""
        self._said.add(text)

    def trial(self, trial: Trial) -> None:
        """Shows a trial whose state has changed."""
        self._view.trial(trial)
        self._notify(lambda notifier: notifier.trial(trial))

    def progress(
        self,
        trials: Sequence[Trial],
        workers: Mapping[str, int],
        earlier: Sequence[Trial] = (),
        stranded: int = 0,
        to_gain: float | None = None,
    ) -> None:
        """Shows where the study stands.

        Args:
            to_gain: as in ``core.budget.Spent``; the others are those of ``views.display.Progress``.
        """
        lease, budget = self._opened.lease, self._opened.file.budget
        elapsed_s = lease.driven_s if lease else 0.0
        in_all = sum(workers.values())
        self._view.progress(
            Progress(
                trials,
                in_all,
                elapsed_s,
                budget.trials,
                workers,
                earlier,
                stranded,
                budget.wall_s,
                outlook=budget.outlook(to_gain),
            )
        )
        self._notify(lambda notifier: notifier.progress(trials, workers))

    def ended(self, status: str, reason: str) -> None:
        """Tells those who want to know that the study has ended; waits some seconds at most for their receivers."""
        self._notify(lambda notifier: notifier.ended(status, reason))

    def _notify(self, tell: Callable[[Notifier], None]) -> None:
        if (notifier := self._notifier) is not None:
            self.attempt("notifications are missing", lambda: tell(notifier))
            for fault in notifier.faults():
                self.note(Note(fault, "warning"))

    def send(self, *, at_once: bool = False) -> None:
        """Sends the lines that wait to the server, every 15 s or ``at_once``.

        Raises:
            ApiError: the server is in trouble.
        """
        self.attempt("the console is behind", lambda: self._said.send(at_once=at_once))

    def attempt(self, failure: str, work: Callable[[], _Result]) -> _Result | None:
        """See :meth:`BestEffort.attempt`."""
        return self.effort.attempt(failure, work)


def _notifier_of(opened: Opened) -> Notifier | None:
    """Sends notifications of a study that is driven; None if its file asks for none."""
    file, controller, records = opened.file, opened.controller, opened.records
    if file.spec.notify is None or opened.lease is None:
        return None
    about = About(file.spec.study, controller.task_id, file.spec.project, controller.url)
    return Notifier(file.spec.notify, about, file.goal, records.settled if records is not None else ())
