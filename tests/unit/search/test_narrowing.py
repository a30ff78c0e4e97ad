from __future__ import annotations

import random

import optuna
import pytest

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.narrowing import narrowed
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.search.space import Categorical, Float, Int, OpenSpace, SearchSpace

SPACE = SearchSpace(
    {"a/x": Float(0.001, 1.0, log=True), "a/n": Int(0, 100, 10), "a/kind": Categorical(("a", "b", "c"))},
    {"a/n": {"a/kind": ("a", "b")}},
)
FLAT = SearchSpace(SPACE.parameters)
LIMITS = {"a/x": {"low": 0.01, "high": 0.02}, "a/n": {"high": 20}, "a/kind": {"choices": ["a", "c"]}}


def holds(params):
    return 0.01 <= params["a/x"] <= 0.02 and params.get("a/n", 0) <= 20 and params["a/kind"] != "b"


@pytest.mark.parametrize(
    ("name", "space"),
    [
        *((name, SPACE) for name in ("tpe", "random", "cmaes", "nsgaii")),
        *((name, FLAT) for name in ("tpe", "qmc", "gp", "cmaes")),
        ("grid", SearchSpace({**FLAT.parameters, "a/x": Float(0.0, 1.0, 0.01)})),
    ],
)
def test_any_sampler_proposes_within_the_limits(name, space):
    if name == "gp":
        pytest.importorskip("torch")
    sampler = build_sampler(name, seed=1, space=space, goal=Goal((Objective("validation", "loss"),)))
    study = OptunaStudy(space, ["minimize"], sampler=sampler)
    for number in range(12):
        study.complete(number, [study.ask(number)["a/x"]])
    study.narrowing = narrowed(space, LIMITS)
    for number in range(12, 24):
        params = study.ask(number)
        assert holds(params) and space.contains(params)
        study.complete(number, [params["a/x"]])
    study.narrowing = narrowed(space, {})
    assert any(not holds(study.ask(number)) for number in range(24, 60))
    assert {t.state for t in study.optuna_study.trials} >= {optuna.trial.TrialState.COMPLETE}


def test_points_at_random_lie_within_the_limits():
    left, rng = narrowed(SPACE, LIMITS), random.Random(0)
    drawn = [SPACE.build(left.at_random(rng)) for _ in range(100)]
    assert all(map(holds, drawn)) and all(map(SPACE.contains, drawn))


def test_a_small_space_is_exhausted_within_the_limits():
    space = SearchSpace({"a/n": Int(0, 9)})
    study = OptunaStudy(space, ["minimize"], sampler=optuna.samplers.RandomSampler(seed=0))
    study.narrowing = narrowed(space, {"a/n": {"low": 8}})
    seen = []
    while (point := study.ask_at_random(len(seen), lambda params: params["a/n"] not in seen)) is not None:
        seen.append(point["a/n"])
    assert sorted(seen) == [8, 9]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"a/y": {}}, "a/y: no parameter that varies; there are"),
        ({"b/x": {}}, "b/x: no parameter that varies; did you mean 'a/x'"),
        ({"a/x": {"low": 2.0}}, "a/x: found 2.0; allowed: "),
        ({"a/x": {"low": "b"}}, "a/x: found 'b'; allowed: "),
        ({"a/x": {"low": 0.5, "high": 0.1}}, "low"),
        ({"a/n": {"low": 15}}, "a/n: found 15; allowed: "),
        ({"a/n": {"choices": [10]}}, "a/n.choices: allowed for .*: low, high"),
        ({"a/kind": {"low": 1}}, "a/kind.low: allowed for .*: choices"),
        ({"a/kind": {"choices": ["d"]}}, "a/kind: found 'd'; allowed: "),
        ({"a/kind": {"choices": []}}, "choices"),
    ],
)
def test_limits_that_do_not_fit(limits, said):
    with pytest.raises(ValueError, match=said):
        narrowed(SPACE, limits)


def test_a_space_that_scripts_make_is_not_narrowed():
    with pytest.raises(ValueError, match="the script suggests its parameters itself"):
        narrowed(OpenSpace({"a/x": Float(0, 1)}), {"a/x": {"high": 0.5}})
