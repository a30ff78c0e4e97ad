"""A space that grows while its study runs."""

from __future__ import annotations

import optuna
import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler, choose_sampler
from clearml_hpo.search.space import Categorical, Float, Int, OpenSpace


def test_it_has_what_was_found_and_points_may_lack_some():
    space = OpenSpace()
    assert space.contains({}) and not space.contains({"General/x": 0.5}) and space.size == float("inf")
    assert space.grow({"General/x": Float(0, 1), "General/n": Int(1, 3)}) and not space.grow({"General/n": Int(2, 3)})
    assert space.contains({"General/x": 0.5}) and not space.contains({"General/x": 2.0})
    assert space.parse({"General/n": "2", "General/other": "3"}) == {"General/n": 2}


def test_a_range_that_is_known_becomes_one_that_covers_both():
    space = OpenSpace()
    space.grow({"a": Int(1, 3), "b": Float(0, 1), "c": Categorical(("x", 1))})
    assert space.grow({"a": Int(2, 9), "b": Float(-1, 0.5), "c": Categorical((1, "y"))})
    assert space.parameters == {"a": Int(1, 9), "b": Float(-1, 1), "c": Categorical(("x", 1, "y"))}


def test_a_sampler_learns_from_what_trials_suggested_themselves():
    space = OpenSpace()
    study = OptunaStudy(space, ["minimize"], sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=2))
    assert study.add(0, {})
    study.report(0, 0, 3.0)
    space.grow({"General/x": Float(0, 1)})
    study.revise(0, {"General/x": 0.25})
    study.complete(0, [2.0])
    (told,) = [t for t in study.optuna_study.trials if t.state is optuna.trial.TrialState.COMPLETE]
    assert told.params == {"x": 0.25} and told.value == 2.0 and told.intermediate_values == {0: 3.0}
    assert study.ask(1).keys() == {"General/x"}


@pytest.mark.parametrize("name", ["grid", "brute_force", "qmc", "cmaes"])
def test_samplers_that_must_know_the_space_before_are_refused(name):
    goal = Goal((Objective("a", "b"),))
    with pytest.raises(InputError, match=f"sampler {name}: the script suggests its parameters itself"):
        build_sampler(name, space=OpenSpace(), goal=goal)
    assert choose_sampler("auto", space=OpenSpace(), goal=goal, trials=50).name == "tpe"
