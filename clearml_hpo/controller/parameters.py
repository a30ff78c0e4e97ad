"""ClearML's hyperparameter classes as a search space."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clearml.automation import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    UniformIntegerParameterRange,
    UniformParameterRange,
)
from clearml.automation.parameters import Parameter as ClearmlParameter

from clearml_hpo.errors import InputError
from clearml_hpo.search_space import Categorical, Distribution, Float, Int, SearchSpace


def space_of(parameters: Sequence[ClearmlParameter]) -> SearchSpace:
    """The same space as a value of ours.

    As in ClearML's own optimizer, ``LogUniformParameterRange`` takes exponents of its base, and the ends of a
    range belong to it unless ``include_max_value=False``.

    Raises:
        InputError: a class that has no counterpart here, or an empty range.
    """
    distributions = {}
    for parameter in parameters:
        try:
            distributions[str(parameter.name)] = _distribution(parameter)
        except ValueError as error:
            raise InputError(f"hyper_parameters: {parameter.name}: {error}") from None
    return SearchSpace(distributions)


def _distribution(parameter: ClearmlParameter) -> Distribution:
    # Before UniformParameterRange, of which it is a subclass.
    if isinstance(parameter, LogUniformParameterRange):
        low, high = (parameter.base**exponent for exponent in (parameter.min_value, parameter.max_value))
        if parameter.step_size:
            return Categorical(tuple(value[parameter.name] for value in parameter.to_list()))
        return Float(low, high, log=True)
    if isinstance(parameter, UniformParameterRange):
        high = parameter.max_value
        if not parameter.include_max:
            high = high - parameter.step_size if parameter.step_size else math.nextafter(high, -math.inf)
        return Float(parameter.min_value, high, step=parameter.step_size)
    if isinstance(parameter, UniformIntegerParameterRange):
        step = parameter.step_size or 1
        return Int(parameter.min_value, parameter.max_value - (0 if parameter.include_max else step), step=step)
    if isinstance(parameter, DiscreteParameterRange):
        return Categorical(tuple(parameter.values))
    raise ValueError(
        f"{type(parameter).__name__} is not supported yet; use UniformParameterRange, LogUniformParameterRange, "
        "UniformIntegerParameterRange or DiscreteParameterRange"
    )
