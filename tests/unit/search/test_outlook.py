"""What a further trial is expected to gain."""

from __future__ import annotations

import math
import random

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search.outlook import check_outlook, expected_gain
from clearml_hpo.search.space import Categorical, Float, Int, OpenSpace, SearchSpace

LOSS = Objective.parse("validation/loss")
PLANE = SearchSpace({"General/x": Float(0.0, 1.0), "General/y": Float(1e-4, 1.0, log=True)})
GRID = SearchSpace({"General/n": Int(1, 5), "General/kind": Categorical(("a", "b", "c"))})


def bowl(params):
    return (params["General/x"] - 0.3) ** 2 + (math.log10(params["General/y"]) / 4 + 0.6) ** 2


def anywhere(count, seed=0):
    rng = random.Random(seed)
    return [{"General/x": rng.random(), "General/y": 10 ** rng.uniform(-4, 0)} for _ in range(count)]


def around_the_minimum(count, seed=1):
    rng = random.Random(seed)
    return [{"General/x": rng.gauss(0.3, 0.03), "General/y": 10 ** rng.gauss(-2.4, 0.1)} for _ in range(count)]


def gain(points, scale=1.0, **options):
    return expected_gain(PLANE, points, [scale * bowl(params) for params in points], **options)


def test_much_is_expected_at_first_and_little_near_the_minimum():
    few, many = anywhere(15), [*anywhere(15), *around_the_minimum(30)]
    assert gain(few) > 0.01
    assert 0 < gain(many) < gain(few) / 20


def test_it_has_the_unit_of_the_values():
    assert gain(anywhere(20), scale=1000.0) == pytest.approx(1000 * gain(anywhere(20)), rel=1e-3)


def test_the_same_trials_promise_the_same():
    assert gain(anywhere(20)) == gain(anywhere(20))


def test_trials_without_a_value_promise_less_where_they_are():
    """All of the half in which the minimum lies has failed."""
    points = [params for params in anywhere(40) if params["General/x"] > 0.6]
    failed = [params for params in anywhere(200) if params["General/x"] < 0.6][:100]
    assert gain(points, without_value=failed) < gain(points) / 2


def test_only_what_may_be_proposed_counts():
    points = [params for params in anywhere(60) if params["General/x"] > 0.6]
    assert gain(points, allows=lambda params: params["General/x"] > 0.6) < gain(points) / 2
    assert gain(points, allows=lambda params: False) is None


def test_nothing_is_left_of_a_grid_that_is_tried():
    points = [dict(params) for params in GRID.points(100)]
    values = [float(index) for index, _ in enumerate(points)]
    assert expected_gain(GRID, points, values) is None
    assert expected_gain(GRID, points[:-1], values[:-1]) is not None


def test_nothing_is_known_where_the_better_half_is_one_value():
    assert expected_gain(PLANE, anywhere(20), [1.0] * 12 + [2.0] * 8) is None


def test_of_many_trials_the_best_and_the_last_are_looked_at():
    points = anywhere(1000)
    assert 0 < gain(points) < 0.01


@pytest.mark.parametrize(
    ("space", "goal", "said"),
    [
        (PLANE, Goal((LOSS, Objective.parse("a/b"))), "only with one objective, found 2"),
        (OpenSpace(), Goal((LOSS,)), "not where the script suggests its parameters itself"),
    ],
)
def test_studies_of_which_none_can_be_given(space, goal, said):
    with pytest.raises(InputError, match=said):
        check_outlook(space, goal)
