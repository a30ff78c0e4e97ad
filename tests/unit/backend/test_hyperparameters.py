"""ClearML's nested hyperparameters, flat and back."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.hyperparameters import (
    arrives_as,
    flatten,
    misfit,
    user_properties,
    with_user_properties,
    with_values,
)
from clearml_hpo.search.space import Categorical, Constant, Float, Int

NESTED = {
    "General": {
        "lr": {"section": "General", "name": "lr", "value": "0.1", "type": "float"},
        "a.b$c/d": {"section": "General", "name": "a.b$c/d", "value": None},
    },
    "Args": {"seed": {"section": "Args", "name": "seed", "value": "1", "type": "int"}},
    "properties": {"who": {"section": "properties", "name": "who", "value": "me"}},
}


def test_flat_values_and_types_without_user_properties():
    assert flatten(NESTED) == {"General/lr": "0.1", "General/a.b$c/d": "", "Args/seed": "1"}
    assert flatten(NESTED, "type") == {"General/lr": "float", "General/a.b$c/d": "", "Args/seed": "int"}
    assert user_properties(NESTED) == {"who": "me"}


def test_new_values_keep_types_and_leave_the_original_alone():
    changed = with_values(
        NESTED, {"General/lr": 0.25, "General/a.b$c/d": None, "Hydra/model/depth": 3, "Args/on": True}
    )
    assert changed["General"]["lr"] == {"section": "General", "name": "lr", "value": "0.25", "type": "float"}
    assert changed["General"]["a.b$c/d"]["value"] == ""
    assert changed["Hydra"]["model/depth"] == {"section": "Hydra", "name": "model/depth", "value": "3", "type": "int"}
    assert changed["Args"]["on"]["value"] == "True"
    assert NESTED["General"]["lr"]["value"] == "0.1"


def test_user_properties_are_replaced_as_a_whole():
    changed = with_user_properties(NESTED, {"trial": 3})
    assert user_properties(changed) == {"trial": "3"}
    assert flatten(changed) == flatten(NESTED)


@pytest.mark.parametrize(
    ("value", "kind"), [(3, "int"), (0.5, "float"), (True, "bool"), ("3", "str"), ("", "str"), (None, None)]
)
def test_an_entry_without_a_type_is_given_that_of_the_value(value, kind):
    """A parameter whose default in the script is None has none, and the SDK would hand over text."""
    changed = with_values(NESTED, {"General/a.b$c/d": value})
    assert changed["General"]["a.b$c/d"].get("type") == kind


def test_hydra_is_given_its_own_notation():
    changed = with_values({}, {"Hydra/a": None, "Hydra/b": "10", "Hydra/c": False, "General/b": "10"})
    assert flatten(changed) == {"Hydra/a": "null", "Hydra/b": "'10'", "Hydra/c": "False", "General/b": "10"}


# What tests/contract/templates/test_arrival.py sees arrive.
@pytest.mark.parametrize(
    ("value", "kind", "arrives"),
    [
        (3, "int", 3),
        (None, "int", None),
        (3, "float", 3.0),
        (None, "float", None),
        (True, "bool", True),
        (None, "bool", False),
        ("3", "str", "3"),
        (3, "str", "3"),
        (None, "str", ""),
        (3, None, 3),
        ("", None, None),
        ((None), None, None),
    ],
)
def test_what_arrives(value, kind, arrives):
    found = arrives_as(value, {"section": "General", "name": "x", "value": "1", "type": kind})
    assert found == arrives and type(found) is type(arrives)


@pytest.mark.parametrize(
    ("value", "kind", "section"),
    [
        (2.5, "int", "General"),
        (True, "int", "General"),
        ("x", "float", "General"),
        (True, "float", "General"),
        (1, "bool", "General"),
        (None, "int", "Args"),
    ],
)
def test_what_does_not_arrive(value, kind, section):
    with pytest.raises(ValueError):
        arrives_as(value, {"section": section, "name": "x", "value": "1", "type": kind})


@pytest.mark.parametrize(
    ("value", "kind", "own", "said"),
    [
        ("[16]", "int", "[64, 32]", ""),
        ("[0.5]", "float", "", ""),
        ("[16]", "int", "64", "'[16]' is no whole number"),
        ("16", "int", "[64, 32]", "'16' is no whole number"),
        (None, "str", "", ""),
        (None, "str", "a.pt", "None would arrive as ''"),
    ],
)
def test_what_the_parser_of_arguments_takes(value, kind, own, said):
    """The type is that of each item, where an argument takes several."""
    found = misfit(Categorical((value,)), {"section": "Args", "name": "x", "value": own, "type": kind})
    assert said in found and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("SGD", "Opt", ""),
        (
            "Opt.SGD",
            "Opt",
            "a Opt; found categorical Opt.SGD: 'Opt.SGD' is none of its members",
        ),
        (None, "Opt", "None is none of its members: ADAM, SGD"),
    ],
)
def test_a_member_of_an_enum_is_its_name(value, kind, said):
    entry = {"section": "General", "name": "x", "value": "ADAM", "type": kind, "description": "Values:\nADAM,\nSGD"}
    found = misfit(Categorical((value,)), entry)
    assert said in found and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("[64, 32]", "list/int", ""),
        ("[]", "list", ""),
        ("(1, 2)", "tuple/int", ""),
        ("[1, 2]", "tuple/int", ""),
        ("{'a': 1}", "dict/int", ""),
        ("64,32", "list/int", "'64,32' is no text of a list, which begins with ["),
        ("(1, 2)", "list/int", "'(1, 2)' is no text of a list"),
        (5, "list", "5 is no text of a list"),
        (None, "tuple", "None is no text of a tuple, which begins with ( or ["),
    ],
)
def test_a_list_is_its_text(value, kind, said):
    """The SDK would make a list of letters of another text, or keep the script's default."""
    found = misfit(Categorical((value,)), {"section": "General", "name": "x", "value": "[1]", "type": kind})
    assert said in found and bool(found) == bool(said)


def test_a_configuration_object_has_no_types():
    """Its text is written anew, and read by the script."""
    assert misfit(Float(0, 1), {"section": "config:Model", "name": "lr", "value": "1e-3", "type": "str"}) == ""


def test_what_hydra_reads_has_the_type_of_its_text():
    entry = {"section": "Hydra", "name": "x", "value": "3", "type": "str"}  # all of its entries are text
    assert arrives_as(5, entry) == 5 and arrives_as(None, entry) is None


@pytest.mark.parametrize(
    ("parameter", "kind", "said"),
    [
        (Int(1, 3), "int", ""),
        (Int(1, 3), "float", ""),
        (Float(0, 1), "float", ""),
        (Float(0, 1), "", ""),
        (Float(0, 1), "int", "the template's value is an int; found float 0 .. 1: 0.5 is no whole number"),
        (Int(1, 3), "str", "the template's value is a str; found int 1 .. 3: 1 would arrive as '1'"),
        (Int(1, 3), "bool", "the template's value is a bool; found int 1 .. 3: 1 is neither true nor false"),
        (Categorical((1, None)), "int", ""),
        (Categorical(("a", "1")), "str", ""),
        (Categorical(("a", None)), "str", "None would arrive as ''"),
        (Categorical((True, None)), "bool", "None would arrive as False"),
        (Categorical(("a", 1)), "int", "'a' is no whole number"),
        (Categorical((1, 2.5)), "int", "2.5 is no whole number"),
        (Constant(3), "str", "3 would arrive as '3'"),
        (Constant("x"), "", ""),
        (Constant(""), "", "'' would arrive as None"),
    ],
)
def test_what_does_not_fit_the_template(parameter, kind, said):
    found = misfit(parameter, {"section": "General", "name": "x", "value": "1", "type": kind})
    assert said in found and bool(found) == bool(said)
