"""ClearML's hyperparameter classes as a search space, and back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from clearml.automation import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    ParameterSet,
    UniformIntegerParameterRange,
    UniformParameterRange,
)
from clearml.automation.parameters import Parameter as ClearmlParameter

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.values import Params, Value
from clearml_hpo.search.space import (
    Categorical,
    Combination,
    Constant,
    Distribution,
    Float,
    Int,
    Parameter,
    SearchSpace,
)

_MOST_COMBINATIONS = 10_000


def space_of(parameters: Sequence[ClearmlParameter]) -> SearchSpace:
    """The same space as a value of ours.

    As in ClearML's own optimizer, ``LogUniformParameterRange`` takes exponents of its base, and the ends of a
    range belong to it unless ``include_max_value=False``. A ``ParameterSet`` becomes a combination; ranges in it are
    written out, and have to be finite for that.

    Raises:
        InputError: a class that has no counterpart here, an empty range, or a name that is given twice.
    """
    distributions: dict[str, Parameter] = {}
    combinations = []
    try:
        for parameter in parameters:
            if isinstance(parameter, ParameterSet):
                combinations.append(_combination(parameter))
            elif str(parameter.name) in distributions:
                raise ValueError(f"{parameter.name}: given twice")
            else:
                distributions[str(parameter.name)] = _distribution(parameter)
        return SearchSpace(distributions, combinations=tuple(combinations))
    except ValueError as error:
        raise InputError(f"hyper_parameters: {error}") from None


def parameters_of(space: SearchSpace) -> list[ClearmlParameter]:
    """The same space in ClearML's classes; a constant is a choice of one value.

    Raises:
        InputError: names what ClearML's classes cannot say: a condition, a constraint between parameters, an int with
            ``log``.
    """
    for name in space.conditions:
        raise InputError(f"search_space.{name}: ClearML's parameter classes have no conditions (when)")
    for constraint in space.constraints:
        raise InputError(f"parameter_constraints: ClearML's parameter classes have none; found {constraint}")
    sets = [ParameterSet([dict(choice) for choice in combination.choices]) for combination in space.combinations]
    return [*sets, *(_clearml_parameter(name, parameter) for name, parameter in space.parameters.items())]


def _clearml_parameter(name: str, parameter: Parameter) -> ClearmlParameter:
    if isinstance(parameter, Constant):
        return DiscreteParameterRange(name, [parameter.value])
    if isinstance(parameter, Categorical):
        return DiscreteParameterRange(name, list(parameter.choices))
    if isinstance(parameter, Int) and not parameter.log:
        # ClearML counts in steps up to and beyond the end unless it is the last step itself.
        return UniformIntegerParameterRange(name, parameter.low, parameter.values[-1], step_size=parameter.step)
    if isinstance(parameter, Int):
        raise InputError(f"search_space.{name}: ClearML's parameter classes have no int with log; found {parameter}")
    if parameter.log:
        return LogUniformParameterRange(name, math.log10(parameter.low), math.log10(parameter.high))
    return UniformParameterRange(name, parameter.low, parameter.high, step_size=parameter.step)


def _combination(parameter: ParameterSet) -> Combination:
    """The combinations, each range among their values written out."""
    choices: list[Params] = []
    for given in parameter.values:
        size = math.prod(len(_values(name, value)) for name, value in given.items())
        if len(choices) + size > _MOST_COMBINATIONS:
            raise ValueError(f"a ParameterSet has more than {_MOST_COMBINATIONS} combinations")
        for values in itertools.product(*(_values(name, value) for name, value in given.items())):
            choice: dict[str, Value] = {}
            for value in values:
                choice.update(value)
            choices.append(choice)
    try:
        return Combination(tuple(choices))
    except ValueError as error:
        raise ValueError(f"ParameterSet: {error}") from None


def _values(name: str, given: Any) -> Sequence[Params]:
    """One member of a combination: a value, or a range under a name of its own."""
    if not isinstance(given, ClearmlParameter):
        return [{name: _choice(given)}]
    if isinstance(given, ParameterSet):
        return _combination(given).choices
    values = _distribution(given).values
    if values is None:
        raise ValueError(f"{given.name}: a range in a ParameterSet needs a step_size; found {given.to_dict()}")
    return [{str(given.name): value} for value in values]


def _choice(given: Any) -> Value:
    """A choice as ClearML keeps it: a list, or whatever has no type of its own there, is text."""
    given = given.item() if hasattr(given, "item") else given  # a number of NumPy's
    return given if isinstance(given, (int, float, str, bool, type(None))) else str(given)


def _distribution(parameter: ClearmlParameter) -> Distribution:
    try:
        return _range(parameter)
    except ValueError as error:
        raise ValueError(f"{parameter.name}: {error}") from None


def _range(parameter: ClearmlParameter) -> Distribution:
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
        return Categorical(tuple(map(_choice, parameter.values)))
    raise ValueError(
        f"{type(parameter).__name__} is not supported yet; use UniformParameterRange, LogUniformParameterRange, "
        "UniformIntegerParameterRange, DiscreteParameterRange or ParameterSet"
    )
