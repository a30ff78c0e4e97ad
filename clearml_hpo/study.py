"""The study as the sampler sees it: Optuna's ask and tell, by trial number.

It lives in memory and can be rebuilt at any time from the trial tasks, which are the durable record.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from clearml_hpo.search_space import Categorical, Distribution, Float, Int, Params, SearchSpace, Value

_FEW_POINTS = 10_000


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
        self._ranges = list(space.distributions.values())
        self._random = random.Random(0)

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

    @property
    def points(self) -> float:
        """How many points the space has; infinity if a parameter is continuous."""
        return math.prod(len(values) if (values := _values(d)) is not None else math.inf for d in self._ranges)

    def ask_at_random(self, number: int, is_new: Callable[[Params], bool]) -> dict[str, Value] | None:
        """A point that ``is_new``, drawn evenly, for trial ``number``; None if a long search finds none.

        For a sampler that keeps to points it knows: those of small spaces do.
        """
        if self.points <= _FEW_POINTS:
            new = [point for point in self._all_points() if is_new(point)]
            params = self._random.choice(new) if new else None
        else:
            draws = ({name: self._draw(d) for name, d in self.space.distributions.items()} for _ in range(_FEW_POINTS))
            params = next((point for point in draws if is_new(point)), None)
        if params is not None:
            self.add(number, params)
        return params

    def _all_points(self) -> Iterable[dict[str, Value]]:
        names = list(self.space.distributions)
        for values in itertools.product(*(_values(d) or () for d in self._ranges)):
            yield dict(zip(names, values, strict=True))

    def _draw(self, distribution: Distribution) -> Value:
        values = _values(distribution)
        if values is not None:
            return self._random.choice(values)
        assert isinstance(distribution, Float)  # all others have values to choose from
        if distribution.log:
            return math.exp(self._random.uniform(math.log(distribution.low), math.log(distribution.high)))
        return self._random.uniform(distribution.low, distribution.high)

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


def _values(distribution: Distribution) -> Sequence[Value] | None:
    """All values of a distribution in their order; None if it is continuous."""
    if isinstance(distribution, Categorical):
        return distribution.choices
    if isinstance(distribution, Int):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if distribution.low == distribution.high:
        return (distribution.low,)
    if distribution.step is None:
        return None
    steps = int((distribution.high - distribution.low) / distribution.step + 1e-8)
    return [distribution.low + index * distribution.step for index in range(steps + 1)]
