"""ClearML's parameter classes as a search space."""

from __future__ import annotations

import pytest
from clearml.automation import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    ParameterSet,
    UniformIntegerParameterRange,
    UniformParameterRange,
)

from clearml_hpo.controller.objectives import clearml_objective, goal_of, sign_of
from clearml_hpo.controller.parameters import space_of
from clearml_hpo.errors import InputError
from clearml_hpo.objective import Goal, Objective
from clearml_hpo.search_space import Categorical, Float, Int


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
    ],
)
def test_each_class_has_its_counterpart(parameter, distribution):
    assert space_of([parameter]).parameters == {"p": distribution}


def test_what_has_none_is_refused_by_name():
    with pytest.raises(InputError, match="ParameterSet is not supported"):
        space_of([ParameterSet([{"a": 1}])])


def test_an_empty_range_is_refused():
    with pytest.raises(InputError, match=r"hyper_parameters: p: .*range is empty"):
        space_of([UniformIntegerParameterRange("p", 3, 3, include_max_value=False)])


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("reading", ["last", "best"])
def test_an_objective_survives_the_way_through_clearml(direction, reading):
    objective = Objective("validation", "loss", direction, reading)
    assert goal_of(clearml_objective(Goal((objective,)))) == Goal((objective,))
    assert sign_of(objective).startswith(direction[:3]) and sign_of(objective).endswith("_global") == (
        reading == "best"
    )
