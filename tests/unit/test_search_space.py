"""Ranges, and values that go to text and back."""

from __future__ import annotations

import math

import pytest

from clearml_hpo.search_space import Categorical, Constant, Float, Int, SearchSpace, as_text, full_name


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
        (Float(0.0, 1.0), 1.1),
        (Float(0.0, 1.0, step=0.25), 0.3),
        (Float(0.0, 1.0), True),
        (Categorical((1, 2)), True),
        (Categorical(("a",)), "b"),
    ],
)
def test_what_lies_outside(distribution, value):
    assert not distribution.contains(value)


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
