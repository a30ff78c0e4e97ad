"""Puts a study's reports on its controller task: one call now and then, two at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from clearml_hpo.objective import Objective
from clearml_hpo.report.figures import history_figure, parallel_figure, table_figure
from clearml_hpo.tasks import ControllerTask
from clearml_hpo.trial import Trial, TrialState, best_trial


class Publisher:
    """Reports a study, at most every ``period_s`` seconds and only if a trial ended since."""

    def __init__(
        self,
        task: ControllerTask,
        objective: Objective,
        url_of: Callable[[Trial], str],
        *,
        clock: Callable[[], float],
        period_s: float = 30.0,
    ) -> None:
        self._task = task
        self._objective = objective
        self._url_of = url_of
        self._clock = clock
        self._period_s = period_s
        self._last = -math.inf
        self._reported: set[int] = set()

    def publish(self, trials: Sequence[Trial], *, final: bool = False) -> None:
        """Sends what is new; ``final`` sends everything, whatever the time."""
        ended = [trial for trial in trials if not trial.state.is_live]
        new = [trial for trial in ended if trial.number not in self._reported]
        due = bool(new) and self._clock() - self._last >= self._period_s
        if not (due or final):
            return
        self._last = self._clock()
        self._reported |= {trial.number for trial in new}
        completed = [trial for trial in new if trial.state is TrialState.COMPLETED and trial.value is not None]
        best = best_trial(trials, self._objective)
        scalars = [(self._objective.title, self._objective.series, t.number, float(t.value or 0)) for t in completed]
        if best is not None and best.value is not None and completed:
            scalars.append(("best so far", self._objective.metric, max(t.number for t in ended), best.value))
        plots = {("summary", "trials"): table_figure(ended, self._objective, self._url_of)}
        if best is not None:
            plots[("optimization history", self._objective.metric)] = history_figure(ended, self._objective)
            plots[("parallel coordinates", self._objective.metric)] = parallel_figure(ended, self._objective)
        self._task.report(scalars=scalars, plots=plots)
