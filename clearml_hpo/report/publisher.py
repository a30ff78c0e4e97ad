"""Puts a study's reports on its controller task: two calls now and then, a few more when the best has changed."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache, partial
from typing import TypeVar

from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial, best_trial, pareto_front
from clearml_hpo.report import figures
from clearml_hpo.report.best import best_yaml
from clearml_hpo.report.figures.plot import thinned
from clearml_hpo.search.importances import importances_of_all
from clearml_hpo.search.space import SearchSpace

_TRIALS_PER_PERIOD = 100
_LONGEST_PERIODS = 10
_LISTED_PER_PERIOD = 3
_CURVES = (10, 100)  # a hundred is as many as one call gives
_MOST_POINTS = 200_000  # that are fetched for them

Plots = dict[tuple[str, str], str]
Figures = Mapping[tuple[str, str], Callable[[], str]]
Histories = Callable[[Sequence[str]], Mapping[str, Sequence[tuple[int, float]]]]
_Result = TypeVar("_Result")


def in_a_thread(work: Callable[[], object]) -> None:
    """Has it done while the caller goes on; a program that ends does not wait for it."""
    threading.Thread(target=work, name="plots", daemon=True).start()


class Drawing:
    """Figures that are drawn, and of which trials; a thread may draw them.

    Attributes:
        ended: the trials that had ended when it began.
        new: those of them that were not reported before.
        done: the text of each figure, or why there is none, by title and series; whole when ``is_done``.
    """

    def __init__(self, ended: Sequence[Trial], new: Sequence[Trial], figures: Figures) -> None:
        """Nothing is drawn yet."""
        self.ended = ended
        self.new = new
        self._figures = figures
        self.done: dict[tuple[str, str], Future[str]] = {}
        self.is_done = False

    def draw(self) -> None:
        """Draws all."""
        self.done = {key: _outcome(draw) for key, draw in self._figures.items()}
        self.is_done = True


class Publisher:
    """Reports a study now and then, if a trial ended since; the more trials there are, the less often.

    Plots take seconds to draw. A thread does so, and they are sent by the first call after that; at the end the call
    draws them itself.

    Besides the plots these are kept fresh: the configuration ``best`` of the controller task, the tag ``best`` of the
    trial tasks that deserve it, and, three times as often, its user properties ``trials``, ``best_value`` and
    ``best_trial``, which the lists of studies show.
    """

    def __init__(
        self,
        task: ControllerTask,
        goal: Goal,
        url_of: Callable[[Trial], str],
        effort: BestEffort,
        *,
        clock: Callable[[], float],
        period_s: float = 30.0,
        space: SearchSpace | None = None,
        budget: int | None = None,
        histories: Histories | None = None,
        start: Callable[[Callable[[], object]], object] = in_a_thread,
    ) -> None:
        """Reports at most every ``period_s`` seconds, with 1,000 trials every ten times that.

        Args:
            effort: makes each part: a figure that cannot be drawn does not keep the others away.
            space: for axes and importances.
            budget: trials in all, if that is limited.
            histories: gives the reported ``(iteration, value)`` of what the pruner looks at, by task; asked once, at
                the end.
            start: starts the drawing.
        """
        self._task = task
        self._goal = goal
        self._url_of = url_of
        self._effort = effort
        self._clock = clock
        self._period_s = period_s
        self._space = space or SearchSpace()
        self.budget = budget
        self._histories = histories
        self._start = start
        self._drawing: Drawing | None = None
        self._last = self._listed_at = -math.inf
        self._reported: set[int] = set()
        self._sent: dict[tuple[str, str], int] = {}
        self._properties: dict[str, object] = {}
        self._best: tuple[str, ...] = ()

    def postpone(self) -> None:
        """The task has plots already, of an earlier controller: new ones are drawn after a period."""
        self._last = self._clock()

    def publish(
        self,
        trials: Sequence[Trial],
        earlier: Sequence[Trial] = (),
        *,
        final: bool = False,
        remaining: Mapping[str, str] | None = None,
    ) -> None:
        """Sends what is new; ``final`` does so whatever the time, and adds what is known at the end only.

        ``earlier`` are attempts that were followed by another; ``remaining`` says what is left of each budget. What
        fails is tried again the next time.

        Raises:
            ApiError: the server is in trouble.
        """
        if final or self._clock() - self._listed_at >= self._pause_s(len(trials)) / _LISTED_PER_PERIOD:
            self._effort.attempt("the list of studies is behind", lambda: self._say_where_it_stands(trials))
            self._listed_at = self._clock()
        if final or (self._drawing is None and self._is_due(0)):  # before thousands of trials are gone through
            ended = [trial for trial in trials if not trial.state.is_live]
            new = [trial for trial in ended if trial.number not in self._reported]
            if not (final or (new and self._is_due(len(ended)))):
                return
            self._drawing = Drawing(ended, new, self._figures(trials, ended, earlier, remaining or {}, final))
            if final:
                self._drawing.draw()
            else:
                self._start(self._drawing.draw)
        if self._drawing is not None and self._drawing.is_done:
            self._send(self._drawing, final)
            self._drawing = None

    def _send(self, drawing: Drawing, final: bool) -> None:
        changed = self._changed(drawing)
        attempt = self._effort.attempt
        attempt("the report is behind", lambda: self._report(drawing.ended, drawing.new, changed))
        self._last = self._clock()
        attempt("the best trial is not marked", lambda: self._point_out_best(drawing.ended))
        if final:
            attempt("the artifact best is missing", lambda: self._upload_best(drawing.ended))

    def _is_due(self, ended: int) -> bool:
        return self._clock() - self._last >= self._pause_s(ended)

    def _pause_s(self, trials: int) -> float:
        return min(max(1.0, trials / _TRIALS_PER_PERIOD), _LONGEST_PERIODS) * self._period_s

    def _changed(self, drawing: Drawing) -> Plots:
        """The plots that are not as they were sent last; those that could not be drawn are said."""
        plots = {
            key: self._effort.attempt(f"the plot {'/'.join(key)!r} is missing", outcome.result)
            for key, outcome in drawing.done.items()
        }
        return {key: plot for key, plot in plots.items() if plot and self._sent.get(key) != hash(plot)}

    def _report(self, ended: Sequence[Trial], new: Sequence[Trial], plots: Plots) -> None:
        self._task.report(scalars=self._scalars(ended, new), plots=plots)
        self._reported |= {trial.number for trial in new}
        self._sent |= {key: hash(plot) for key, plot in plots.items()}

    def _scalars(self, ended: Sequence[Trial], new: Sequence[Trial]) -> list[tuple[str, str, int, float]]:
        """The new values by trial number, and the best so far."""
        scalars = [
            (objective.title, objective.series, trial.number, value)
            for trial in new
            for objective, value in zip(self._goal.objectives, trial.final_values or (), strict=False)
        ]
        best = best_trial(ended, self._goal)
        if scalars and best is not None and best.value is not None and self._goal.is_single:
            last = max(trial.number for trial in ended)
            scalars.append(("best so far", self._goal.objectives[0].metric, last, best.value))
        return scalars

    def _figures(
        self,
        trials: Sequence[Trial],
        ended: Sequence[Trial],
        earlier: Sequence[Trial],
        remaining: Mapping[str, str],
        final: bool,
    ) -> Figures:
        """What draws each figure, by title and series: an empty text where there is nothing to show."""
        goal, first = self._goal, self._goal.objectives[0]
        space = self._space
        all_trials = [*earlier, *trials]

        @cache
        def shares() -> Future[list[dict[str, float]]]:
            return _outcome(lambda: importances_of_all(ended, space, goal))

        def slices() -> str:
            known = [] if shares().exception() else shares().result()[:1]
            return figures.slice_figure(ended, goal, space.distributions, *known)

        return {
            ("summary", "trials"): lambda: figures.table_figure(ended, goal, self._url_of),
            ("summary", "budget"): lambda: figures.budget_figure(remaining),
            **{
                ("optimization history", each.metric): partial(figures.history_figure, ended, goal, index)
                for index, each in enumerate(goal.objectives)
            },
            ("Pareto front", "all objectives"): lambda: figures.front_figure(ended, goal),
            ("Pareto front", "hypervolume"): lambda: figures.hypervolume_figure(ended, goal),
            ("parallel coordinates", first.metric): lambda: figures.parallel_lines_figure(
                ended, goal, space.distributions
            ),
            ("slices", first.metric): slices,
            ("importances", "parameters"): lambda: figures.importance_figure(shares().result(), goal),
            ("timeline", "slots"): lambda: figures.timeline_figure(all_trials, self._clock()),
            **({("intermediate values", "trials"): lambda: self._intermediate(trials)} if final else {}),
        }

    def _intermediate(self, trials: Sequence[Trial]) -> str:
        looked_at = self._goal.pruning_objective
        if self._histories is None or looked_at is None:
            return ""
        shown = trials_with_curves(trials, self._goal)
        return figures.intermediate_figure(shown, looked_at, self._histories([trial.task_id for trial in shown]))

    def _point_out_best(self, ended: Sequence[Trial]) -> None:
        """Tag and configuration."""
        best = best_trial(ended, self._goal)
        if best is None:
            return
        front = tuple(trial.task_id for trial in pareto_front(ended, self._goal))
        if (best.task_id, *front) != self._best:
            self._task.tag_best(front)
            self._task.set_configuration(best=best_yaml(best, self._goal))
            self._best = (best.task_id, *front)

    def _say_where_it_stands(self, trials: Sequence[Trial]) -> None:
        """For the lists of studies: user properties of the controller task."""
        ended = [trial for trial in trials if not trial.state.is_live]
        best = best_trial(ended, self._goal)
        total = "" if self.budget is None else f"/{self.budget}"
        properties: dict[str, object] = {"trials": f"{len(ended)}{total}"}
        if best is not None:
            properties |= {"best_value": best.value, "best_trial": best.number}
        if properties != self._properties:
            self._task.set_properties(**properties)
            self._properties = properties

    def _upload_best(self, ended: Sequence[Trial]) -> None:
        """The same text as the task's configuration ``best``."""
        best = best_trial(ended, self._goal)
        if best is not None:
            self._task.upload_artifact("best", best_yaml(best, self._goal), "best.yaml")


def _outcome(work: Callable[[], _Result]) -> Future[_Result]:
    """What it returns or raises, kept."""
    outcome: Future[_Result] = Future()
    try:
        outcome.set_result(work())
    except Exception as error:
        outcome.set_exception(error)
    return outcome


def trials_with_curves(trials: Sequence[Trial], goal: Goal) -> list[Trial]:
    """Those whose values are shown by iteration: the best and some of the others, fewer where they are long."""
    if goal.pruning_objective is None:
        return []
    ran = [trial for trial in trials if trial.started_at is not None and trial.iteration]
    longest = max((trial.iteration for trial in ran), default=1)
    curves = min(max(_CURVES[0], _MOST_POINTS // longest), _CURVES[1])
    return thinned(ran, ranking(ran, goal), curves)
