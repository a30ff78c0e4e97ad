"""What users order by hand: points to try, trials to end, a larger budget."""

from __future__ import annotations

from collections.abc import Mapping

from clearml_hpo.core.budget import Budget
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.stopping import Stopping
from clearml_hpo.search.narrowing import Limits, Narrowing, narrowed


class Orders:
    """Has the next steps of the loop do what users order."""

    def __init__(self, context: Context, launcher: Launcher, stopping: Stopping) -> None:
        self._context = context
        self._launcher = launcher
        self._stopping = stopping

    @property
    def is_stopped(self) -> bool:
        """Whether the study launches nothing more: points and budgets are the next controller's."""
        return self._stopping.is_stopped

    def enqueue(self, params: Params, order: str) -> None:
        """Has ``params`` tried before anything that the sampler proposes."""
        self._launcher.enqueue(params, order)
        self._launcher.reopen()
        self._stopping.is_hurried = True

    def trial_of(self, order: str) -> Trial | None:
        """The trial that tries, or has tried, what was ordered so; None as long as it has no task."""
        number = self._launcher.by_order.get(order)
        return None if number is None else self._context.roster.get(number)

    def end(self, trial: Trial, state: TrialState, reason: str) -> None:
        """Ends a live trial: ``state`` is how it ends."""
        self._launcher.leave(trial)
        self._stopping.wish(trial, state, reason)
        self._context.roster.memo(trial).is_ordered = True
        self._stopping.is_hurried = True

    @property
    def narrowing(self) -> Narrowing:
        """Within what points are proposed."""
        return self._context.study.narrowing

    def narrow(self, limits: Mapping[str, Limits]) -> None:
        """Has points proposed within these limits from now on; but for some that a slow sampler has ready.

        Raises:
            ValueError: they do not fit the search space; nothing is changed.
        """
        self._context.study.narrowing = narrowed(self._context.study.space, limits)
        self._launcher.reopen()

    def extend(self, budget: Budget) -> None:
        """The study has this budget from now on."""
        self._context.policy.budget = budget
        self._launcher.reopen()
        self._stopping.is_hurried = True
