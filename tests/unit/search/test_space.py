"""Ranges, and values that go to text and back."""

from __future__ import annotations

import math
import random

import pytest

from clearml_hpo.core.values import as_text, full_name, resolve_name, text_of
from clearml_hpo.search.space import Categorical, Combination, Constant, Float, Int, SearchSpace, at_random
from clearml_hpo.search.space.expressions import parse_expression


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Int(5, 4), "range is empty"),
        (lambda: Float(2.0, 1.0), "range is empty"),
        (lambda: Float(0.0, 1.0, log=True), "above 0"),
        (lambda: Int(1, 8, step=2, log=True), "exclude each other"),
        (lambda: Float(0.1, 8, step=2, log=True), "exclude each other"),
        (lambda: Int(1, 8, step=0), "above 0"),
        (lambda: Float(0.0, math.inf), "finite"),
        (lambda: Categorical(()), "empty"),
        (lambda: Categorical(("a", "a")), "'a' and 'a': both are 'a' on the server"),
        (lambda: Categorical((1, "1")), "1 and '1': both are '1' on the server"),
        (lambda: Categorical((None, "")), "None and '': both are '' on the server"),
        (lambda: Categorical((0, 1, True)), "1 and True, which are equal"),
        (lambda: Categorical((True, "True")), "True and 'True': both are 'True' on the server"),
    ],
)
def test_impossible_ranges_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        (Int(1, 9, step=2), 7),
        (Int(1, 1000, log=True), 37),
        (Float(1e-5, 1.0, log=True), 0.00012345678901234567),
        (Float(0.0, 1.0, step=0.1), 0.30000000000000004),
        (Categorical(("a", "b")), "b"),
        (Categorical((True, False)), False),
        (Categorical((None, "x")), None),
        (Categorical((1, 2.5)), 2.5),
    ],
)
def test_a_value_survives_the_way_through_text_with_its_type(distribution, value):
    back = distribution.parse(as_text(value))
    assert back == value and type(back) is type(value)
    assert distribution.contains(back)


@pytest.mark.parametrize("text", ["inf", "nan", "1.5", "one", ""])
def test_what_is_no_whole_number_is_a_value_error(text):
    with pytest.raises(ValueError):
        Int(1, 9).parse(text)


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        (Int(1, 9, step=2), 4),
        (Int(1, 9), 10),
        (Int(1, 9), 2.0),
        (Int(0, 9), True),
        (Float(0.0, 1.0), 1.1),
        (Float(0.0, 1.0, step=0.25), 0.3),
        (Float(0.0, 1.0), True),
        (Categorical((1, 2)), True),
        (Categorical(("a",)), "b"),
    ],
)
def test_what_lies_outside(distribution, value):
    assert not distribution.contains(value)


@pytest.mark.parametrize("grid", [Float(0.0, 0.3, step=0.1), Float(-0.3, 0.9, step=0.1), Float(0.1, 0.7, step=0.3)])
def test_each_value_of_a_grid_is_in_the_range_and_drawn(grid):
    assert all(map(grid.contains, grid.values)) and len(grid.values) == grid.size
    rng = random.Random(0)
    assert {grid.draw(rng) for _ in range(500)} == {*grid.values}


def test_a_grid_of_a_billion_values_is_no_list():
    grid = Float(0.0, 1.0, step=1e-9)
    assert SearchSpace({"x": grid}).size == 1e9 + 1
    assert grid.contains(grid.draw(random.Random(0)))


def test_values_of_a_grid_that_differ_by_rounding_are_one_point():
    space = SearchSpace({"x": Float(0.0, 1.0, step=0.1), "y": Float(0.0, 2.0), "n": Int(0, 9)})
    assert space.key({"x": 0.3, "y": 1.0, "n": 1}) == space.key({"x": 0.1 + 0.2, "y": 1.0, "n": 1})
    points = [{"x": x, "y": y, "n": 1} for x in (0.3, 0.4, 0.35, 3, "0.3") for y in (1.0, 1.0 + 1e-12)]
    assert len({space.key(point) for point in points}) == 10


def test_a_space_knows_its_points():
    space = SearchSpace({"General/a": Int(1, 3), "General/b": Categorical(("x", "y")), "General/c": Constant(5)})
    assert space.parse({"General/a": "2", "General/b": "x", "General/z": "?"}) == {"General/a": 2, "General/b": "x"}
    assert space.contains({"General/a": 2, "General/b": "x"})
    assert not space.contains({"General/a": 2})
    assert space.constants == {"General/c": 5}
    assert not space.contains(space.parse({"General/a": "two", "General/b": "x"}))


def test_names_without_section_go_to_general():
    assert full_name("lr") == "General/lr"
    assert full_name("Args/lr") == "Args/lr"


# --- Conditions -------------------------------------------------------------------------------------------------------

BOOSTERS = SearchSpace(
    {
        "General/rate_drop": Float(0.0, 0.5),
        "General/booster": Categorical(("gbtree", "gblinear", "dart")),
        "General/max_depth": Int(3, 10),
        "General/sample": Categorical((True, False)),
        "General/sample_type": Categorical(("uniform", "weighted")),
        "General/trees": Constant(5),
        "General/levels": Int(1, 3),
        "General/lr": Float(1e-4, 1.0, log=True),
    },
    {
        "General/rate_drop": {"General/booster": ("dart",)},
        "General/max_depth": {"General/booster": ("gbtree", "dart")},
        "General/sample": {"General/booster": ("dart",)},
        "General/sample_type": {"General/sample": (True,)},  # a chain: of dart only
        "General/trees": {"General/booster": ("gblinear",)},
        "General/levels": {"General/trees": (5,)},
    },
)


def test_parents_come_before_their_children():
    axes = list(BOOSTERS.axes)
    assert axes.index("General/booster") < axes.index("General/rate_drop")
    assert axes.index("General/sample") < axes.index("General/sample_type")
    assert BOOSTERS.is_conditional and not SearchSpace({"General/a": Int(1, 3)}).is_conditional


@pytest.mark.parametrize(
    ("booster", "sample", "active"),
    [
        ("gbtree", None, {"max_depth"}),
        ("gblinear", None, {"levels"}),
        ("dart", False, {"max_depth", "rate_drop", "sample"}),
        ("dart", True, {"max_depth", "rate_drop", "sample", "sample_type"}),
    ],
)
def test_what_is_active_follows_from_the_parents(booster, sample, active):
    chosen = {"General/booster": booster, "General/sample": sample}
    point = BOOSTERS.build(lambda name, d: chosen.get(name, d.draw(random.Random(0))))
    assert point.keys() == {f"General/{name}" for name in active | {"booster", "lr"}}
    assert BOOSTERS.contains(point)
    given = BOOSTERS.hyperparameters(point)
    assert given == ({**point, "General/trees": 5} if booster == "gblinear" else point)
    assert BOOSTERS.constants == {}


def test_an_inactive_parameter_makes_a_point_foreign():
    point = {"General/booster": "gbtree", "General/max_depth": 3, "General/lr": 0.1}
    assert BOOSTERS.contains(point)
    assert not BOOSTERS.contains({**point, "General/rate_drop": 0.1})
    assert not BOOSTERS.contains({**point, "General/other": 1})
    assert not BOOSTERS.contains({name: value for name, value in point.items() if name != "General/max_depth"})
    assert not BOOSTERS.contains({**point, "General/max_depth": 11})


def test_a_parent_that_cannot_be_read_has_no_children():
    assert BOOSTERS.parse({"General/booster": "lamp", "General/max_depth": "3", "General/lr": "0.1"}) == {
        "General/booster": "lamp",
        "General/lr": 0.1,
    }


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"a": {"x": (1,)}}, "the condition of a: no parameter 'x'"),
        ({"y": {"a": (1,)}}, "the condition of y: there is no such parameter"),
        ({"a": {"a": (1,)}}, "the condition of a: it depends on itself"),
        ({"a": {"f": (0.5,)}}, "f is a float; a condition looks at"),
        ({"b": {"a": (7,)}}, "a is never 7; it is int 1 .. 3"),
        ({"b": {"a": ()}}, "no value of a is named"),
        ({"b": {"c": ("ys",)}}, "c is never 'ys'; did you mean 'yes'"),
        ({"b": {"c": ("no", True)}}, "c is never True"),
        ({"a": {"b": (1,)}, "b": {"c": ("no",)}, "c": {"a": (1,)}}, "it depends on itself: a → b → c → a"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(conditions, said):
    parameters = {"a": Int(1, 3), "b": Int(1, 3), "c": Categorical(("yes", "no")), "f": Float(0.0, 1.0)}
    with pytest.raises(ValueError) as caught:
        SearchSpace(parameters, conditions)
    assert said in str(caught.value)


def test_a_constant_parent_may_have_any_value():
    space = SearchSpace({"a": Constant("x"), "b": Int(1, 2), "c": Int(1, 3)}, {"b": {"a": ("y",)}, "c": {"a": ("x",)}})
    assert space.size == 3 and all(point.keys() == {"c"} for point in space.points(10))


# --- Combinations -----------------------------------------------------------------------------------------------------

SETS = SearchSpace(
    {"General/x": Int(1, 2), "General/z": Int(1, 5)},
    {"General/z": {"General/b": (4,)}},
    combinations=(Combination(({"General/a": 1, "General/b": 2}, {"General/a": 1}, {"General/a": 3, "General/b": 4})),),
)


def test_a_combination_is_one_axis_and_several_parameters():
    assert SETS.axes["General/a + General/b"] == Categorical(
        ("General/a=1, General/b=2", "General/a=1", "General/a=3, General/b=4")
    )
    assert set(SETS.all_parameters) == set(SETS.distributions) == {"General/a", "General/b", "General/x", "General/z"}
    point = {"General/a": 3, "General/b": 4, "General/x": 1, "General/z": 2}
    assert SETS.contains(point)
    assert SETS.along_axes(point) == {
        "General/a + General/b": "General/a=3, General/b=4",
        "General/x": 1,
        "General/z": 2,
    }
    assert SETS.parse({name: str(value) for name, value in point.items()}) == point
    assert not SETS.contains({"General/a": 3, "General/b": 2, "General/x": 1})
    assert not SETS.contains({"General/b": 2, "General/x": 1})
    assert SETS.size == 2 + 2 + 10


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Combination(()), "needs choices"),
        (lambda: Combination(({},)), "needs choices"),
        (lambda: Combination(({"a": 1}, {"a": "1"})), "cannot be told apart"),
        (lambda: SearchSpace({"a": Int(1, 2)}, combinations=(Combination(({"a": 1},)),)), "a is given twice"),
        (
            lambda: SearchSpace(
                {"b": Int(1, 2)}, {"a": {"b": (1,)}}, combinations=(Combination(({"a": 1}, {"a": 2})),)
            ),
            "a is part of a combination",
        ),
    ],
)
def test_impossible_combinations_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# --- Constraints ------------------------------------------------------------------------------------------------------


def constrained(parameters, conditions, *texts):
    known = tuple(parameters)
    constraints = tuple(parse_expression(t, known, lambda name: resolve_name(name, known)) for t in texts)
    return SearchSpace(parameters, conditions, constraints)


def test_constraints_hold_between_active_parameters_and_constants():
    space = constrained(
        {
            "General/a": Int(1, 4),
            "General/b": Int(1, 4),
            "General/c": Categorical(("on", "off")),
            "General/k": Constant(2),
        },
        {"General/b": {"General/c": ("on",)}},
        "a < b",
        "a * k <= 6",
    )
    off = {"General/a": 3, "General/c": "off"}
    assert space.contains(off)  # b is inactive: a < b is not looked at
    assert not space.contains({**off, "General/a": 4})
    assert space.contains({"General/a": 3, "General/b": 4, "General/c": "on"})
    assert not space.contains({"General/a": 3, "General/b": 3, "General/c": "on"})
    assert space.size == 20 and len(list(space.points(20))) == 3 + (3 + 2 + 1)


# --- All of it, at random ---------------------------------------------------------------------------------------------


def random_space(rng):
    """Up to eight parameters, each with a condition on earlier ones as likely as not."""
    parameters, conditions = {}, {}
    for index in range(rng.randint(1, 8)):
        name = f"{rng.choice(['General', 'Args', 'Hydra'])}/p{index}"
        parents = [n for n, p in parameters.items() if not isinstance(p, Float)]
        if parents and rng.random() < 0.5:
            chosen = rng.sample(parents, rng.randint(1, min(2, len(parents))))
            conditions[name] = {p: tuple(rng.sample(values_of(parameters[p]), 1)) for p in chosen}
        parameters[name] = rng.choice(
            [
                Int(1, rng.randint(1, 4)),
                Int(2, 9, step=3),
                Int(1, 6, log=True),
                Float(-1.0, 1.0),
                Float(0.0, 1.0, step=0.1),
                Float(1e-5, 1.0, log=True),
                Categorical((None, "a", "it's", "10", "true")),
                Categorical((True, False, 2, 0.5)),
                Constant(7),
            ]
        )
    combinations = (Combination(({"General/m": 1, "Hydra/n": "x"}, {"General/m": 2})),) if rng.random() < 0.3 else ()
    names = list(parameters.items())
    rng.shuffle(names)  # children may stand before their parents
    return SearchSpace(dict(names), conditions, combinations=combinations)


def values_of(parameter):
    return [parameter.value] if isinstance(parameter, Constant) else list(parameter.values)


@pytest.mark.parametrize("seed", range(150))
def test_every_point_survives_the_way_through_a_task(seed):
    rng = random.Random(seed)
    space = random_space(rng)
    for _ in range(10):
        point = space.build(at_random(rng))
        assert space.contains(point)
        given = space.hyperparameters(point)
        texts = {name: text_of(name, value) for name, value in given.items()}
        own = {name: "left from the template" for name in space.all_parameters if name not in given}
        back = space.parse({**own, **texts})
        assert back == point and [type(back[name]) for name in point] == [type(value) for value in point.values()]
        for name in space.parameters.keys() & space.distributions.keys() - point.keys():
            assert not space.contains({**point, name: space.distributions[name].draw(rng)})


@pytest.mark.parametrize("seed", range(150))
def test_the_size_is_the_number_of_points(seed):
    space = random_space(random.Random(seed))
    if space.size > 5_000:
        assert list(space.points(5_000)) == []
        return
    points = list(space.points(5_000))
    keys = {frozenset((name, type(value), value) for name, value in point.items()) for point in points}
    assert len(points) == len(keys) == space.size
    assert all(space.contains(point) for point in points)


def test_twenty_switches_are_counted_at_once():
    parameters = {f"s{n}": Categorical((True, False)) for n in range(20)} | {f"v{n}": Int(1, 3) for n in range(20)}
    space = SearchSpace(parameters, {f"v{n}": {f"s{n}": (True,)} for n in range(20)})
    assert space.size == 4**20


# --- Names and texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("General/a", "General/a"),
        ("a", "General/a"),  # the default section goes first
        ("Args/a", "Args/a"),
        ("model/depth", "Args/model/depth"),
        ("depth", "Args/model/depth"),
        ("both", None),
        ("nothing", None),
    ],
)
def test_a_name_without_its_section_is_found(name, found):
    names = ("General/a", "Args/a", "Args/model/depth", "Args/both", "Hydra/both")
    assert resolve_name(name, names) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "True"), (3, "3"), ("adam", "adam"), ("10", "'10'"), ("true", "'true'"), ("a b", "'a b'")],
)
def test_hydra_reads_the_type_from_the_text(value, text):
    assert text_of("Hydra/x", value) == text
    assert text_of("General/x", value) == as_text(value)


def test_what_hydra_itself_wrote_is_read():
    space = SearchSpace({"Hydra/on": Categorical((True, False)), "Hydra/n": Categorical((None, "null"))})
    assert space.parse({"Hydra/on": "true", "Hydra/n": "'null'"}) == {"Hydra/on": True, "Hydra/n": "null"}
    assert space.parse({"Hydra/on": "False", "Hydra/n": "null"}) == {"Hydra/on": False, "Hydra/n": None}
