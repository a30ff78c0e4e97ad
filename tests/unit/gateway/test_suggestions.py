"""The grammar of `optuna#...`."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.hopaas.suggestions import definition, is_suggestion, parse_suggestion
from clearml_hpo.search.learner import as_optuna
from clearml_hpo.search.space import Categorical, Float, Int


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optuna#uniform(0,1)", Float(0.0, 1.0)),
        ("optuna#uniform(-50,50)", Float(-50.0, 50.0)),
        ("optuna#float(-1.0,1.0)", Float(-1.0, 1.0)),
        ("optuna#float(-1.0,1.0,NaN,false)", Float(-1.0, 1.0)),
        ("optuna#float(-1.0,1.0,None,False)", Float(-1.0, 1.0)),
        ("optuna#float(-1.0,1.0,False)", Float(-1.0, 1.0)),
        ("optuna#float(-1.0,1.0,0.1,false)", Float(-1.0, 1.0, 0.1)),
        ("optuna#float(0.001,1000.0,NaN,true)", Float(0.001, 1000.0, log=True)),
        ("optuna#float( 1e-3 , .5e2 )", Float(0.001, 50.0)),
        ("optuna#int(0,10)", Int(0, 10)),
        ("optuna#int(0,10,2,false)", Int(0, 10, 2)),
        ("optuna#int(1,1024,1,true)", Int(1, 1024, log=True)),
        ("optuna#int(0,10,None)", Int(0, 10)),
        ("optuna#int(-3.0,+3)", Int(-3, 3)),
        ("optuna#loguniform(1e-05,1)", Float(1e-05, 1.0, log=True)),
        ("optuna#log_uniform(0.1,100.0)", Float(0.1, 100.0, log=True)),
        ("optuna#discrete_uniform(0,1)", Float(0.0, 1.0)),
        ("optuna#discrete_uniform(0,1,0.25)", Float(0.0, 1.0, 0.25)),
        ("optuna#categorical(relu,0.1,elu, sp )", Categorical(("relu", "0.1", "elu", " sp "))),
        ("optuna#categorical(f(x),g((y))", Categorical(("f(x)", "g((y)"))),
        ("optuna#categorical(a,)", Categorical(("a", ""))),
        ("optuna#log_uniform(small,large)", Categorical(("small", "large"))),
    ],
)
def test_ranges_are_read(text, expected):
    assert is_suggestion(text)
    assert parse_suggestion(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optuna#float(0,1,0)", "step is 0.0; it must be above 0"),
        ("optuna#int(0,10,0)", "step is 0; it must be above 0"),
        ("optuna#int(0,10,-1)", "must be above 0"),
        ("optuna#loguniform(0,1)", "with log it must be above 0"),
        ("optuna#int(0,8,1,true)", "with log it must be above 0"),
        ("optuna#float(1,2,0.1,true)", "log and step exclude each other"),
        ("optuna#float(0,1e400)", "'1e400' is too large for a float"),
        ("optuna#float(0,-1e999)", "too large"),
        ("optuna#float(-1e308,1e308)", "distance"),
        ("optuna#categorical()", "it has no choices"),
        ("optuna#categorical( )", "it has no choices"),
        ("optuna#categorical(a,a)", "cannot be told apart"),
        ("optuna#float(1,0)", "the range is empty"),
        ("optuna#float(0)", "1 arguments"),
        ("optuna#float(0,1,2,true,4)", "5 arguments"),
        ("optuna#loguniform(1,2,3)", "3 arguments"),
        ("optuna#float(a,b)", "expected a number, found 'a'"),
        ("optuna#float(0,__import__)", "expected a number, found '__import__'"),
        ("optuna#float(0,1+1)", "expected a number"),
        ("optuna#float(0,\u0661)", "expected a number"),
        ("optuna#int(0,1.5)", "expected whole numbers"),
        ("optuna#int(0,9007199254740994)", "outside"),
        ("optuna#float(0,1,1e-300)", "more than 1,000,000 steps"),
        ("optuna#float(0,1,0.1,maybe)", "log: expected true or false"),
        ("optuna#normal(0,1)", "no such kind of range: 'normal'"),
        ("optuna#unifrom(0,1)", "did you mean 'uniform'?"),
        ("optuna#", "expected such as optuna#uniform(0,1)"),
        ("optuna#float", "expected such as"),
        ("optuna#float(0,1", "expected such as"),
        ("optuna#float(0,1)x", "expected such as"),
        ("optuna#(0,1)", "no such kind of range: ''"),
        ("optuna#__class__(0,1)", "no such kind of range"),
        (f"optuna#categorical({','.join(map(str, range(1001)))})", "1001 choices; at most 1000"),
        (f"optuna#int(0,{'9' * 5000})", "expected a number"),
        (f"optuna#int(0,{'9' * 399})", "too large"),
    ],
)
def test_what_is_no_range_is_refused(text, message):
    with pytest.raises(InputError) as error:
        parse_suggestion(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 500


_FLOATS = st.floats(-1e9, 1e9, allow_nan=False)
_POSITIVE = st.floats(1e-9, 1e9, allow_nan=False)
_WORDS = st.text(st.characters(exclude_characters=",", exclude_categories=("Cs",)), min_size=1).filter(str.strip)


def _optuna(text: str):
    return as_optuna(parse_suggestion(text))


@given(low=_FLOATS, high=_FLOATS)
def test_floats_as_the_client_writes_them_are_optunas(low, high):
    low, high = sorted((low, high))
    assert _optuna(f"optuna#float({low},{high})") == FloatDistribution(low, high)
    assert _optuna(f"optuna#uniform({low},{high},None,False)") == FloatDistribution(low, high)


@given(low=_POSITIVE, high=_POSITIVE)
def test_logarithms_are_optunas(low, high):
    low, high = sorted((low, high))
    for text in (f"loguniform({low},{high})", f"log_uniform({low},{high})", f"float({low},{high},NaN,true)"):
        assert _optuna(f"optuna#{text}") == FloatDistribution(low, high, log=True)


@given(low=st.integers(-(10**9), 10**9), width=st.integers(0, 1000), step=st.integers(1, 50))
def test_whole_numbers_are_optunas(low, width, step):
    high = low + width * step
    assert _optuna(f"optuna#int({low},{high},{step},false)") == IntDistribution(low, high, step=step)


@given(choices=st.lists(_WORDS, min_size=1, unique=True))
def test_choices_are_optunas(choices):
    assert _optuna(f"optuna#categorical({','.join(choices)})") == CategoricalDistribution(choices)


@given(text=st.text())
def test_any_text_is_a_range_or_one_message(text):
    for kind in ("", "float(", "int(", "categorical(", "discrete_uniform(", "log_uniform("):
        for end in ("", ")"):
            try:
                found = parse_suggestion(f"optuna#{kind}{text}{end}")
            except InputError as error:
                assert "\n" not in str(error)
            else:
                written = definition(found)
                assert written["type"] in ("int", "float", "categorical")
                assert all(math.isfinite(written.get(key, 0)) for key in ("low", "high", "step"))
