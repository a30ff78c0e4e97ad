"""Peers from PyPI as sides of the search-quality benchmark, if they are installed: Hyperopt's TPE, Nevergrad's NGOpt.

They get the parameters as one flat space, as the stock side does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.problem import Problem
from clearml_hpo.core.values import Params
from clearml_hpo.search.space import Categorical, Distribution, Int


class Hyperopt:
    """``hyperopt.tpe.suggest`` as it comes."""

    def __init__(self, problem: Problem, seed: int, trials: int, workers: int) -> None:
        import hyperopt
        from hyperopt.base import Domain

        axes = problem.space.distributions
        self._axes, self._hyperopt, self._seed = axes, hyperopt, seed
        self._domain = Domain(lambda _: 0.0, {name: self._range(name, axis) for name, axis in axes.items()})
        self._trials = hyperopt.Trials()
        self._docs: dict[int, Any] = {}

    def _range(self, name: str, axis: Distribution) -> Any:
        hp = self._hyperopt.hp
        if isinstance(axis, Categorical):
            return hp.choice(name, axis.choices)
        step = axis.step or 0.0
        if axis.log:
            ends = math.log(axis.low), math.log(axis.high)
            return hp.qloguniform(name, *ends, step) if step else hp.loguniform(name, *ends)
        return hp.quniform(name, axis.low, axis.high, step) if step else hp.uniform(name, axis.low, axis.high)

    def ask(self, number: int) -> Params | None:
        """The point of trial ``number``."""
        (new_id,) = self._trials.new_trial_ids(1)
        self._trials.refresh()
        (doc,) = self._hyperopt.tpe.suggest([new_id], self._domain, self._trials, self._seed * 10_000 + number)
        self._docs[number] = doc
        drawn = {name: found[0] for name, found in doc["misc"]["vals"].items()}
        return {name: self._value(axis, drawn[name]) for name, axis in self._axes.items()}

    def _value(self, axis: Distribution, drawn: Any) -> Any:
        if isinstance(axis, Categorical):
            return axis.choices[int(drawn)]
        return _on_grid(axis, drawn)

    def tell(self, number: int, value: float) -> None:
        """Trial ``number`` ended."""
        doc = self._docs.pop(number)
        doc["state"], doc["result"] = self._hyperopt.JOB_STATE_DONE, {"loss": value, "status": "ok"}
        self._trials.insert_trial_docs([doc])
        self._trials.refresh()


class Nevergrad:
    """``nevergrad.optimizers.NGOpt``, which picks its method by the space, the budget and the number of workers."""

    def __init__(self, problem: Problem, seed: int, trials: int, workers: int) -> None:
        import nevergrad

        self._ng = nevergrad.p
        space = self._ng.Dict(**{name: self._range(axis) for name, axis in problem.space.distributions.items()})
        space.random_state = np.random.RandomState(seed)
        self._optimizer = nevergrad.optimizers.NGOpt(space, budget=trials, num_workers=workers)
        self._axes = problem.space.distributions
        self._asked: dict[int, Any] = {}

    def _range(self, axis: Distribution) -> Any:
        if isinstance(axis, Categorical):
            return self._ng.Choice(list(axis.choices))
        kind = self._ng.Log if axis.log else self._ng.Scalar
        drawn = kind(lower=axis.low, upper=axis.high)
        return drawn.set_integer_casting() if isinstance(axis, Int) else drawn

    def ask(self, number: int) -> Params | None:
        """The point of trial ``number``."""
        self._asked[number] = self._optimizer.ask()
        return {name: _on_grid(self._axes[name], value) for name, value in self._asked[number].value.items()}

    def tell(self, number: int, value: float) -> None:
        """Trial ``number`` ended."""
        self._optimizer.tell(self._asked.pop(number), value)


def _on_grid(axis: Distribution, value: Any) -> Any:
    if isinstance(axis, Categorical):
        return value
    if axis.step is not None:
        value = axis.low + round((value - axis.low) / axis.step) * axis.step
    number = min(max(value, axis.low), axis.high)
    return round(number) if isinstance(axis, Int) else float(number)


PEERS: Mapping[str, Callable[[Problem, int, int, int], Any]] = {"hyperopt": Hyperopt, "nevergrad": Nevergrad}
