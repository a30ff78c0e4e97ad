"""Puts a study's reports on its controller task: one call now and then, two at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from clearml_hpo.objective import Goal
from clearml_hpo.report.figures import history_figure, parallel_figure, table_figure
from clearml_hpo.tasks import ControllerTask
from clearml_hpo.trial import Trial, best_trial


class Publisher:
    """Reports a study, at most every ``period_s`` seconds and only if a trial ended since."""

    def __init__(
        self,
        task: ControllerTask,
        goal: Goal,
        url_of: Callable[[Trial], str],
        *,
        clock: Callable[[], float],
        period_s: float = 30.0,
    ) -> None:
        self._task = task
        self._goal = goal
        self._url_of = url_of
        self._clock = clock
        self._period_s = period_s
        self._last = -math.inf
        self._reported: set[int] = set()

    def publish(
        self,
        trials: Sequence[Trial],
        earlier: Sequence[Trial] = (),
        *,
        final: bool = False,
        remaining: Mapping[str, str] | None = None,
    ) -> None:
        """Sends what is new; ``final`` sends everything, whatever the time.

        ``earlier`` are attempts that were followed by another; ``remaining`` says what is left of each budget.
        """
        ended = [trial for trial in trials if not trial.state.is_live]
        new = [trial for trial in ended if trial.number not in self._reported]
        due = bool(new) and self._clock() - self._last >= self._period_s
        if not (due or final):
            return
        self._last = self._clock()
        self._reported |= {trial.number for trial in new}
        best = best_trial(trials, self._goal)
        first = self._goal.objectives[0]
        scalars = [
            (objective.title, objective.series, trial.number, value)
            for trial in new
            for objective, value in zip(self._goal.objectives, trial.final_values or (), strict=False)
        ]
        if best is not None and best.value is not None and scalars and self._goal.is_single:
            scalars.append(("best so far", first.metric, max(t.number for t in ended), best.value))
        plots = {("summary", "trials"): table_figure(ended, self._goal, self._url_of)}
        if best is not None:
            plots[("optimization history", first.metric)] = history_figure(ended, self._goal)
            plots[("parallel coordinates", first.metric)] = parallel_figure(ended, self._goal)
        self._task.report(scalars=scalars, plots=plots)
