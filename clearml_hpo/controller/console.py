"""What a run tells its user: on the terminal, and on the console of the controller task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from clearml_hpo.backend.console_log import ConsoleLog
from clearml_hpo.controller.opening import Opened
from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.trial import Trial
from clearml_hpo.views.display import Progress, ToldView, View

_Result = TypeVar("_Result")


class StudyConsole:
    """Prints on the terminal; what is worth a line goes to the console of the controller task too.

    Attributes:
        effort: does what a study does not depend on, such as reports; prints what fails of it.
    """

    def __init__(self, opened: Opened, view: View) -> None:
        """Nothing is printed or sent yet."""
        self._opened = opened
        self._said = ConsoleLog(opened.controller)
        self._view = ToldView(view, opened.file.goal, self._said.add)
        self.effort = BestEffort(self._view.note)

    def note(self, text: str) -> None:
        """Prints a line, and adds it to the console."""
        self._view.note(text)

    def add(self, text: str) -> None:
        """Adds a line to the console alone; the terminal has it from elsewhere."""
        self._said.add(text)

    def trial(self, trial: Trial) -> None:
        """Shows a trial whose state has changed."""
        self._view.trial(trial)

    def progress(
        self, trials: Sequence[Trial], workers: Mapping[str, int], earlier: Sequence[Trial] = (), stranded: int = 0
    ) -> None:
        """Shows where the study stands; the arguments are those of ``views.display.Progress``."""
        lease, budget = self._opened.lease, self._opened.file.budget
        elapsed_s = lease.driven_s if lease else 0.0
        in_all = sum(workers.values())
        self._view.progress(
            Progress(trials, in_all, elapsed_s, budget.trials, workers, earlier, stranded, budget.wall_s)
        )

    def send(self, *, at_once: bool = False) -> None:
        """Sends the lines that wait to the server, every 15 s or ``at_once``.

        Raises:
            ApiError: the server is in trouble.
        """
        self.attempt("the console is behind", lambda: self._said.send(at_once=at_once))

    def attempt(self, failure: str, work: Callable[[], _Result]) -> _Result | None:
        """See :meth:`BestEffort.attempt`."""
        return self.effort.attempt(failure, work)
