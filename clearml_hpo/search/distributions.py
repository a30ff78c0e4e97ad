"""Ranges in Optuna's words."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from clearml_hpo.search.space import Categorical, Distribution, Int


def as_optuna(distribution: Distribution) -> BaseDistribution:
    """The same range in Optuna's words."""
    if isinstance(distribution, Categorical):
        return CategoricalDistribution(distribution.choices)
    if isinstance(distribution, Int):
        return IntDistribution(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    return FloatDistribution(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
