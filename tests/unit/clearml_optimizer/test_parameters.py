"""ClearML's parameter classes as a search space."""

from __future__ import annotations

import random

import numpy
import pytest
from clearml.automation import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    ParameterSet,
    UniformIntegerParameterRange,
    UniformParameterRange,
)
from clearml.automation.optimization import MultiObjective
from clearml.automation.optimization import Objective as ClearmlObjective
from clearml.automation.parameters import Parameter as ClearmlParameter

from clearml_hpo.clearml_optimizer.objectives import goal_of
from clearml_hpo.clearml_optimizer.parameters import parameters_of, space_of
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search.space import Categorical, Combination, Constant, Float, Int, SearchSpace, at_random


@pytest.mark.parametrize(
    ("parameter", "distribution"),
    [
        (UniformParameterRange("p", 0.1, 0.5), Float(0.1, 0.5)),
        (UniformParameterRange("p", 0.0, 1.0, step_size=0.25), Float(0.0, 1.0, step=0.25)),
        (UniformParameterRange("p", 0.0, 1.0, step_size=0.25, include_max_value=False), Float(0.0, 0.75, step=0.25)),
        (UniformIntegerParameterRange("p", 2, 8), Int(2, 8)),
        (UniformIntegerParameterRange("p", 2, 8, step_size=2, include_max_value=False), Int(2, 6, step=2)),
        (LogUniformParameterRange("p", -3, 0), Float(0.001, 1.0, log=True)),
        (LogUniformParameterRange("p", 0, 3, base=2), Float(1.0, 8.0, log=True)),
        (LogUniformParameterRange("p", 0, 2, base=2, step_size=1), Categorical((1.0, 2.0, 4.0))),
        (DiscreteParameterRange("p", values=["a", 1, None]), Categorical(("a", 1, None))),
        (DiscreteParameterRange("p", values=[[64, 32], [16], ()]), Categorical(("[64, 32]", "[16]", "()"))),
        (DiscreteParameterRange("p", values=list(numpy.array([1, 2]))), Categorical((1, 2))),
    ],
)
def test_each_class_has_its_counterpart(parameter, distribution):
    assert space_of([parameter]).parameters == {"p": distribution}


def test_a_set_becomes_combinations_that_arrive_as_their_parameters():
    given = ParameterSet(
        [
            {"General/a": 10, "General/b": True},
            {"General/a": 20, "General/c": UniformIntegerParameterRange("General/c", 1, 3)},
            {"any key": DiscreteParameterRange("General/d", ["x", None])},
        ]
    )
    space = space_of([given, UniformParameterRange("General/lr", 0.0, 1.0)])
    (combination,) = space.combinations
    assert combination.choices == (
        {"General/a": 10, "General/b": True},
        *({"General/a": 20, "General/c": c} for c in (1, 2, 3)),
        {"General/d": "x"},
        {"General/d": None},
    )
    for seed in range(50):
        point = space.build(at_random(random.Random(seed)))
        assert {name: value for name, value in point.items() if name != "General/lr"} in combination.choices
        assert space.contains(point)


class OwnRange(ClearmlParameter):
    """A class of somebody's own."""


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ([OwnRange("p")], "p: OwnRange is not supported"),
        ([UniformParameterRange("p", 0, 1), UniformIntegerParameterRange("p", 0, 1)], "p: given twice"),
        ([UniformParameterRange("p", 0, 1), ParameterSet([{"p": 1}])], "p is given twice"),
        ([ParameterSet([{"p": UniformParameterRange("p", 0, 1)}])], "p: a range in a ParameterSet needs a step_size"),
        ([ParameterSet([{"p": 1}, {"p": "1"}])], "both are '1' on the server"),
        ([ParameterSet([])], "a combination needs choices"),
        ([ParameterSet([{str(n): DiscreteParameterRange(str(n), range(99)) for n in range(9)}])], "more than 10000"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(parameters, said):
    with pytest.raises(InputError, match=said):
        space_of(parameters)


def test_a_space_survives_the_way_through_clearmls_classes():
    space = SearchSpace(
        {
            "General/a": Int(2, 9, step=3),
            "General/b": Float(0.0, 1.0, step=0.25),
            "General/c": Categorical((1, None, "x")),
            "General/d": Constant(5),
            "General/e": Float(-1.0, 1.0),
        },
        combinations=(Combination(({"General/f": 1, "General/g": 2}, {"General/f": 3})),),
    )
    back = space_of(parameters_of(space))
    assert back.combinations == space.combinations
    assert back.parameters == {
        **space.parameters,
        "General/a": Int(2, 8, step=3),  # the same values
        "General/d": Categorical((5,)),
    }


def test_logarithmic_ranges_come_back_but_for_rounding():
    (name, back), *_ = space_of(
        parameters_of(SearchSpace({"General/lr": Float(3e-5, 0.2, log=True)}))
    ).parameters.items()
    assert name == "General/lr" and back.log and (back.low, back.high) == pytest.approx((3e-5, 0.2))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (SearchSpace({"General/a": Int(1, 100, log=True)}), "General/a: .*no int with log"),
        (
            SearchSpace({"General/a": Categorical((1, 2)), "General/b": Int(1, 3)}, {"General/b": {"General/a": (1,)}}),
            "General/b: .*no conditions",
        ),
    ],
)
def test_what_clearmls_classes_cannot_say_is_refused_by_name(space, said):
    with pytest.raises(InputError, match=said):
        parameters_of(space)


def test_an_empty_range_is_refused():
    with pytest.raises(InputError, match=r"hyper_parameters: p: .*range is empty"):
        space_of([UniformIntegerParameterRange("p", 3, 3, include_max_value=False)])


@pytest.mark.parametrize(("sign", "direction"), [("min", "minimize"), ("max", "maximize")])
@pytest.mark.parametrize(("is_global", "reading"), [(False, "last"), (True, "best")])
def test_clearmls_objectives_become_a_goal(sign, direction, is_global, reading):
    expected = Objective("validation", "loss", direction, reading)
    one = ClearmlObjective("validation", "loss", order=sign, extremum=is_global)
    several = MultiObjective(["validation"], ["loss"], order=[sign], extremum=[is_global])
    assert goal_of(one) == goal_of(several) == Goal((expected,))
