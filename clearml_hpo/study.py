"""The study as the sampler sees it: Optuna's ask and tell, by trial number.

It lives in memory and can be rebuilt at any time from the trial tasks, which are the durable record.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState as OptunaState

from clearml_hpo.objective import Direction
from clearml_hpo.search_space import Categorical, Distribution, Int, SearchSpace, Value


class Study:
    """Proposes points of a search space and learns from their values.

    A number is asked for once and told once; between the two, intermediate values may be reported.
    """

    def __init__(
        self,
        space: SearchSpace,
        direction: Direction,
        *,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        history: Iterable[optuna.trial.FrozenTrial] = (),
        **create_options: Any,
    ) -> None:
        """Starts with the finished trials of ``history``; ``create_options`` go to ``optuna.create_study``."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.pruner = pruner or optuna.pruners.NopPruner()
        self._distributions = {name: as_optuna(d) for name, d in space.distributions.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.optuna_study = optuna.create_study(
                direction=direction, sampler=sampler, pruner=self.pruner, **create_options
            )
        self.optuna_study.add_trials(list(history))
        self._asked: dict[int, optuna.Trial] = {}

    @property
    def prunes(self) -> bool:
        """Whether intermediate values are of any use."""
        return not isinstance(self.pruner, optuna.pruners.NopPruner)

    def ask(self, number: int) -> dict[str, Value]:
        """The parameters for trial ``number``."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial = self.optuna_study.ask(self._distributions)
        self._asked[number] = trial
        return dict(trial.params)

    def add(self, number: int, params: Mapping[str, Value]) -> bool:
        """Lets trial ``number`` run at ``params``, chosen by somebody else.

        Returns False, and the sampler will not learn from it, if that is no point of the space.
        """
        if not self.space.contains(params):
            logging.getLogger(__name__).info("trial %d lies outside the search space", number)
            return False
        self.optuna_study.enqueue_trial({name: params[name] for name in self._distributions})
        self.ask(number)
        return True

    def report(self, number: int, step: int, value: float) -> bool:
        """Takes in an intermediate value; True if the trial should be pruned at this step."""
        trial = self._asked.get(number)
        if trial is None:
            return False
        trial.report(value, step)
        return trial.should_prune()

    def complete(self, number: int, value: float) -> None:
        """Trial ``number`` ended with a finite ``value``."""
        self._tell(number, value, OptunaState.COMPLETE)

    def prune(self, number: int) -> None:
        """Trial ``number`` was pruned; its value is the last one reported."""
        self._tell(number, None, OptunaState.PRUNED)

    def fail(self, number: int) -> None:
        """Trial ``number`` ended without a value."""
        self._tell(number, None, OptunaState.FAIL)

    def _tell(self, number: int, value: float | None, state: OptunaState) -> None:
        trial = self._asked.pop(number, None)
        if trial is None:
            return
        try:
            self.optuna_study.tell(trial, value, state=state)
        except RuntimeError as error:
            # A sampler that has seen every point calls Study.stop, which Optuna refuses outside of its own loop. The
            # value has been stored by then, and the loop finds the end itself: all that comes are points it knows.
            if "Study.stop" not in str(error):
                raise


def as_optuna(distribution: Distribution) -> BaseDistribution:
    """The same range in Optuna's words."""
    if isinstance(distribution, Categorical):
        return CategoricalDistribution(distribution.choices)
    if isinstance(distribution, Int):
        return IntDistribution(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    return FloatDistribution(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
