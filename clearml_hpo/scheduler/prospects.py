"""Whether more trials are worth their while: what the next one is expected to gain."""

from __future__ import annotations

from collections.abc import Callable

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.search.outlook import expected_gain

_FEWEST_TRIALS = 15  # completed, before the first look
_EVERY = 5  # trials that end between two looks
_GROWTH = 0.05  # and at least this share of all
_LOOKS = 2  # in a row, of which the less certain one counts
_WORST = (TrialState.PRUNED, TrialState.PAUSED, TrialState.FAILED, TrialState.NOT_FINITE)


class Prospects:
    """Looks at the trials after every few of them, where the budget asks for it.

    A look takes some 0.05 s of 100 trials, and 0.3 s of 400; see ``benchmarks/stopping.py`` for what it is worth.
    """

    def __init__(self, context: Context, gained: Callable[[], float]) -> None:
        """``gained`` is the difference between the best value and the median of the first ones."""
        self._context = context
        self._gained = gained
        self._looks: list[float] = []
        self._looked_at = 0

    @property
    def gain(self) -> float | None:
        """What a further trial is expected to gain, as a share of what the study has gained; None if not known yet."""
        return max(self._looks) if len(self._looks) == _LOOKS else None

    def look(self) -> None:
        """Looks, if that is due."""
        if self._context.policy.budget.flat is None:
            return
        ended = [trial for trial in self._context.roster.latest if not trial.state.is_live]
        if len(ended) - self._looked_at < max(_EVERY, _GROWTH * len(ended)):
            return
        self._looked_at = len(ended)
        found = self._share(ended)
        self._looks = [] if found is None else [*self._looks, found][-_LOOKS:]

    def _share(self, ended: list[Trial]) -> float | None:
        study, goal = self._context.study, self._context.goal
        inside = [trial for trial in ended if study.space.contains(trial.params)]
        inside.sort(key=lambda trial: trial.ended_at or 0.0)
        valued = [trial for trial in inside if trial.final_values is not None and trial.is_feasible]
        worst = [trial for trial in inside if trial.state in _WORST or not trial.is_feasible]
        gained = self._gained()
        if len(valued) < _FEWEST_TRIALS or not gained:
            return None
        sign = 1.0 if goal.objectives[0].direction == "minimize" else -1.0
        narrowing = study.narrowing
        is_limited = bool(study.space.constraints or narrowing.ranges)
        gain = expected_gain(
            study.space,
            [trial.params for trial in valued],
            [sign * value for trial in valued for value in trial.final_values or ()],
            [trial.params for trial in worst],
            (lambda params: study.space.allows(params) and narrowing.allows(params)) if is_limited else None,
        )
        return None if gain is None else gain / gained
