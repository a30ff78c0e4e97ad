"""A peer from PyPI as a side of the search-quality benchmark, if it is installed: Hyperopt's TPE.

It gets the parameters as one flat space, as the stock side does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

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
        number = min(max(drawn, axis.low), axis.high)
        return round(number) if isinstance(axis, Int) else float(number)

    def tell(self, number: int, value: float) -> None:
        """Trial ``number`` ended."""
        doc = self._docs.pop(number)
        doc["state"], doc["result"] = self._hyperopt.JOB_STATE_DONE, {"loss": value, "status": "ok"}
        self._trials.insert_trial_docs([doc])
        self._trials.refresh()


PEERS: Mapping[str, Callable[[Problem, int, int, int], Any]] = {"hyperopt": Hyperopt}
