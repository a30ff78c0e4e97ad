"""A pruner whose line falls: early it ends only the worst trials, late all that are not among the best."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median, quantiles

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from clearml_hpo.search.samplers import VIOLATIONS

STARTUP_TRIALS = 8
"""So many trials are complete before the default ends any."""


@dataclass(frozen=True)
class _Curve:
    """A completed trial: its steps, and the best value up to each; smaller is better."""

    steps: Sequence[int]
    best: Sequence[float]

    def at(self, step: int) -> float | None:
        """The best value up to ``step``; None before the first one."""
        place = bisect_right(self.steps, step)
        return self.best[place - 1] if place else None


class FallingPruner(BasePruner):
    """Ends a trial whose best value so far is among the worst of the completed trials at that step.

    Which share counts as the worst grows evenly over a training's length, which is the median of the completed trials'
    last steps: from ``worst_first`` percent at its start to ``worst_last`` percent at its end. A trial that is worse at
    the beginning often is the best at the end, one that is worse near the end hardly ever. No trial is ended at, or
    beyond, the last step of a training. What counts as completed has reported more than once, and keeps the constraints
    on metrics: what breaks them is often better, and is no measure. The figures behind the defaults:
    benchmarks/README.md.
    """

    def __init__(
        self,
        worst_first: float = 5.0,
        worst_last: float = 66.0,
        warmup: float = 0.05,
        n_startup_trials: int = STARTUP_TRIALS,
    ) -> None:
        """Checks the numbers.

        Args:
            worst_first, worst_last: percent of the completed trials, more than 0 and less than 100.
            warmup: no trial is ended before this fraction of a training's length; 0 to 1.
            n_startup_trials: so many trials are completed before any is ended; 2 or more.

        Raises:
            ValueError: a number is out of its range.
        """
        for name, share in (("worst_first", worst_first), ("worst_last", worst_last)):
            if not 0 < share < 100:
                raise ValueError(f"{name} must be more than 0 and less than 100 percent, found {share}")
        if worst_first > worst_last:
            raise ValueError(f"worst_first ({worst_first}) must not be more than worst_last ({worst_last})")
        if not 0 <= warmup <= 1:
            raise ValueError(f"warmup must be 0 to 1, found {warmup}")
        if n_startup_trials < 2:
            raise ValueError(f"n_startup_trials must be 2 or more, found {n_startup_trials}")
        self._first, self._last = worst_first, worst_last
        self._warmup = warmup
        self._n_startup_trials = n_startup_trials
        self._curves: dict[int, _Curve] = {}
        self._lines: dict[int, float | None] = {}
        self._seen = 0

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to end ``trial`` at its last step."""
        step = trial.last_step
        if step is None:
            return False
        self._take_in(study)
        if step not in self._lines:
            self._lines[step] = self._line(step)
        line = self._lines[step]
        return line is not None and min(_sign(study) * value for value in trial.intermediate_values.values()) > line

    def _line(self, step: int) -> float | None:
        """The value beyond which a trial is ended at ``step``; None if none is."""
        completed = self._curves.values()
        if len(completed) < self._n_startup_trials:
            return None
        length = median(curve.steps[-1] for curve in completed)
        fraction = step / length if length > 0 else 1.0
        seen = [value for curve in completed if (value := curve.at(step)) is not None]
        if not self._warmup <= fraction < 1 or len(seen) < self._n_startup_trials:
            return None
        worst = self._first + (self._last - self._first) * fraction
        return quantiles(seen, n=1000, method="inclusive")[round((100 - worst) * 10) - 1]

    def _take_in(self, study: Study) -> None:
        """Learns the curves of trials that have completed since the last time."""
        completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(completed) == self._seen:
            return
        self._seen = len(completed)
        self._lines.clear()
        sign = _sign(study)
        for each in completed:
            keeps = all(violation <= 0 for violation in each.user_attrs.get(VIOLATIONS, ()))
            if each.number not in self._curves and len(each.intermediate_values) > 1 and keeps:
                steps, values = zip(*sorted(each.intermediate_values.items()), strict=True)
                best = list(accumulate((sign * value for value in values), min))
                self._curves[each.number] = _Curve(steps, best)


def _sign(study: Study) -> float:
    return 1.0 if study.direction == StudyDirection.MINIMIZE else -1.0
