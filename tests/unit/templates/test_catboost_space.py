"""search_spaces/catboost.yaml fits templates/catboost_train.py."""

import random

import pytest
import yaml

CASTS = {"int": int, "float": float, "categorical": str}


@pytest.fixture(scope="module")
def space(search_spaces):
    return yaml.safe_load((search_spaces / "catboost.yaml").read_text())


def draw(definition, generator):
    """One value, drawn the plain way: the edges are likely."""
    if definition["type"] == "categorical":
        return generator.choice(definition["choices"])
    low, high = definition["low"], definition["high"]
    if definition["type"] == "int":
        return generator.choice(range(low, high + 1, definition.get("step", 1)))
    return generator.choice([low, high, generator.uniform(low, high)])


def test_every_name_is_a_parameter_of_the_template_and_has_its_type(catboost_train, space):
    for name, definition in space.items():
        section, _, parameter = name.partition("/")
        assert section == "General"
        assert type(catboost_train.PARAMETERS[parameter]) is CASTS[definition["type"]], name


def test_every_default_lies_in_its_range(catboost_train, space):
    for name, definition in space.items():
        default = catboost_train.PARAMETERS[name.removeprefix("General/")]
        if definition["type"] == "categorical":
            assert default in definition["choices"], name
        else:
            assert definition["low"] <= default <= definition["high"], name


def test_all_kinds_of_ranges_are_there(space):
    assert {definition["type"] for definition in space.values()} == {"int", "float", "categorical"}
    assert any(definition.get("log") for definition in space.values())
    assert any("step" in definition for definition in space.values())


def test_fifty_draws_train(catboost_train, space, recorder):
    generator = random.Random(7)
    table = catboost_train.load_table(catboost_train.typed({}))
    (sides,) = catboost_train.split_rows(table, catboost_train.typed({}))
    metrics = catboost_train.chosen_metrics("logloss", "binary")
    for _ in range(50):
        drawn = {name.removeprefix("General/"): draw(definition, generator) for name, definition in space.items()}
        params = catboost_train.typed(drawn | {"iterations": 2}) | {"device": "cpu"}
        scalars = catboost_train.Scalars(recorder, metrics)
        catboost_train.fit(table, sides, params, scalars)
        assert list(scalars.curves["logloss"]) == [0, 1]
