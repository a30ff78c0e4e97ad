"""A client's set-up: what is taken from it, and the study file that it stands for."""

from __future__ import annotations

import json
import math
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.bodies import read_object
from clearml_hpo.gateway.hopaas.setup import read_set_up, restore_set_up
from clearml_hpo.search.space import Categorical, Constant, Float
from clearml_hpo.study_file import StudyFile, parse_study
from tests.contract.gateway.recorded import exchanges

SET_UPS = [found.sent for found in exchanges() if found.call == "ask" and found.status == 200]


def set_up(sampler=None, pruner=None, title="a study", direction="minimize", **own):
    config = {"title": title, "direction": direction, "sampler": sampler, "pruner": pruner}
    return {**own, "hopaas_config": {key: value for key, value in config.items() if value is not None}}


def study(given) -> StudyFile:
    """The study file, checked as one that a user wrote."""
    return parse_study(yaml.safe_dump(read_set_up(given).study_file("project")), "set-up")


@pytest.mark.parametrize("given", SET_UPS, ids=str)
def test_recorded_set_ups_are_studies(given):
    found = study(given)
    own = {name for name in given if name != "hopaas_config" and not name.startswith("_")}
    assert own <= {name.removeprefix("General/") for name in found.space.parameters}
    assert found.goal.objectives[0].metric == "hopaas/loss"
    assert found.spec.duplicates == "rerun" and found.spec.failures.lost.retries == 0


def test_it_becomes_a_study_file():
    given = set_up(
        {"name": "TPESampler", "args": {"n_startup_trials": 3, "consider_magic_clip": True, "seed": 7}},
        {"name": "HyperbandPruner", "args": {"min_resources": 1, "max_resources": "auto", "bootstrap_count": 0}},
        direction="maximize",
        lr="optuna#loguniform(1e-4,1e-1)",
        epochs=20,
        layers=[64, 32],
        none=None,
        _node="n1",
    )
    found = read_set_up(given)
    assert found.tags == {"node": "n1"}
    data = found.study_file("p")
    assert data["study"] == f"a study-{found.suid('p')[:8]}"
    assert data["template"] == {"outside": True} and data["execution"] == {"queue": "outside"}
    assert data["search_space"] == {
        "General/lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
        "General/epochs": "20",
        "General/layers": "[64, 32]",
        "General/none": "null",
    }
    assert data["objective"] == {"metric": "hopaas/loss", "direction": "maximize", "value": "last"}
    assert data["sampler"] == {"name": "tpe", "seed": 7, "options": {"n_startup_trials": 3}}
    options = {"min_resource": 1, "max_resource": "auto", "bootstrap_count": 0}
    assert data["pruner"] == {"name": "hyperband", "options": options}
    assert data["budget"] == {"trials": 100_000} and data["failures"] == {"lost": 0, "stop_after": 50}


def test_the_client_gets_its_constants_as_they_were_sent():
    given = set_up(cap=math.inf, nested={"a": [1, 2]}, none=None, flag=True, x="optuna#float(0,1)")
    answer = restore_set_up(read_set_up(given).canonical).answer({"General/x": 0.25, "General/cap": "Infinity"})
    assert answer == {"cap": math.inf, "nested": {"a": [1, 2]}, "none": None, "flag": True, "x": 0.25}
    assert answer["flag"] is True


def test_a_set_up_without_ranges_has_a_single_point():
    space = study(set_up(some_value=7229)).space
    assert space.parameters["General/some_value"] == Constant("7229")
    assert space.size == 1


def test_names_with_slashes_stay_in_one_section():
    found = study(set_up(**{"a/b": "optuna#uniform(0,1)", "Args/x": 3, "model": "optuna#categorical(a,b)"}))
    assert found.space.parameters == {
        "General/Args/x": Constant("3"),
        "General/a/b": Float(0.0, 1.0),
        "General/model": Categorical(("a", "b")),
    }


def test_only_texts_at_the_top_are_ranges():
    found = read_set_up(set_up(nested={"x": "optuna#float(0,1)"}, plain="float(0,1)"))
    assert not found.parameters and found.constants["nested"] == {"x": "optuna#float(0,1)"}


# --- Identity ------------------------------------------------------------------------------------------------------


def test_the_suid_is_that_of_project_and_set_up_without_tags():
    one = read_set_up(set_up(x="optuna#float(0,1)", a=1, _node="n1"))
    other = read_set_up(dict(reversed(set_up(x="optuna#float(0,1)", a=1, _node="n2", _address="10.0.0.1").items())))
    assert one.suid("p") == other.suid("p") != one.suid("q")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", one.suid("p"))
    for changed in (set_up(x="optuna#float(0,1)", a=2), set_up(x="optuna#float(0,1)", a=1, title="b")):
        assert read_set_up(changed).suid("p") != one.suid("p")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=10,
)
_NAMES = st.text("abcxyzäß/ .-0123456789", min_size=1).filter(str.strip)


@given(own=st.dictionaries(_NAMES, _JSON, max_size=8))
def test_canonical_json_survives_a_round_trip_and_any_order(own):
    found = read_set_up(set_up(**own))
    again = restore_set_up(found.canonical)
    backwards = read_set_up(set_up(**dict(reversed(own.items()))))
    assert found.suid("p") == again.suid("p") == backwards.suid("p")
    assert json.dumps(again.constants, sort_keys=True) == json.dumps(found.constants, sort_keys=True)


# --- Samplers and pruners ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (None, {"name": "tpe"}),
        ({"name": "Sampler", "args": {}}, {"name": "tpe"}),
        ({"name": "TPESampler"}, {"name": "tpe"}),
        ({"name": "RandomSampler", "args": {"seed": 1}}, {"name": "random", "seed": 1}),
    ],
)
def test_samplers(sampler, expected):
    given = set_up(sampler, x="optuna#float(0,1)")
    assert read_set_up(given).sampler == expected
    assert study(given).spec.sampler.name == expected["name"]


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [
        (None, {"name": "none"}),
        ({"name": "NopPruner", "args": {}}, {"name": "none"}),
        ({"name": "Pruner", "args": {}}, {"name": "none"}),
        ({"name": "MedianPruner", "args": {"n_min_trials": 2}}, {"name": "median", "options": {"n_min_trials": 2}}),
        (
            {"name": "ThresholdPruner", "args": {"lower": None, "upper": 2}},
            {"name": "threshold", "options": {"lower": None, "upper": 2}},
        ),
        (
            {"name": "PercentilePruner", "args": {"percentile": 25.0}},
            {"name": "percentile", "options": {"percentile": 25.0}},
        ),
        (
            {"name": "SuccessiveHalvingPruner", "args": {"reduction_factor": 3}},
            {"name": "successive_halving", "options": {"reduction_factor": 3}},
        ),
        (
            {"name": "HyperbandPruner", "args": {"max_resources": 81}},
            {"name": "hyperband", "options": {"max_resource": 81}},
        ),
    ],
)
def test_pruners(pruner, expected):
    given = set_up(None, pruner, x="optuna#float(0,1)")
    assert read_set_up(given).pruner == expected
    assert study(given).spec.pruner.name == expected["name"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "hopaas_config: expected an object"),
        ({"hopaas_config": []}, "hopaas_config: expected an object"),
        ({"hopaas_config": {}}, "hopaas_config.title"),
        (set_up(title=" "), "hopaas_config.title"),
        (set_up(title=["a"]), "hopaas_config.title"),
        (set_up(title="a" * 201), "hopaas_config.title"),
        (set_up(title="a\nb"), "hopaas_config.title"),
        (set_up(direction="up"), "hopaas_config.direction: found 'up'; one of: minimize, maximize"),
        (set_up(direction=["minimize"]), "hopaas_config.direction"),
        ({"hopaas_config": {"title": "a", "storage": "x"}}, "no such key: 'storage'"),
        (set_up({"name": "GPSampler"}), "hopaas_config.sampler.name: found 'GPSampler'"),
        (set_up({"name": "TPESamplr"}), "did you mean 'TPESampler'?"),
        (set_up({"name": "__class__"}), "hopaas_config.sampler.name"),
        (set_up({"name": ["TPESampler"]}), "hopaas_config.sampler.name"),
        (set_up("TPESampler"), "hopaas_config.sampler: expected an object with name and args"),
        (set_up({"name": "TPESampler", "args": [1]}), "hopaas_config.sampler.args: expected an object"),
        (set_up({"name": "TPESampler", "args": {"gamma": 1}}), "no such argument: 'gamma'"),
        (set_up({"name": "TPESampler", "args": {"n_startup_trials": -1}}), "n_startup_trials: found '-1'"),
        (set_up({"name": "TPESampler", "args": {"n_ei_candidates": 10**9}}), "from 1 to 1000"),
        (set_up({"name": "TPESampler", "args": {"n_startup_trials": True}}), "expected a whole number"),
        (set_up(None, {"name": "PatientPruner"}), "hopaas_config.pruner.name"),
        (set_up(None, {"name": "PercentilePruner", "args": {"percentile": 101}}), "from 0 to 100"),
        (set_up(None, {"name": "ThresholdPruner", "args": {"upper": math.nan}}), "null, or a finite number"),
        (set_up(None, {"name": "ThresholdPruner", "args": {"upper": 10**400}}), "null, or a finite number"),
        (set_up(None, {"name": "HyperbandPruner", "args": {"max_resources": "all"}}), "auto, or a whole number"),
        (set_up(x="optuna#float(1,0)"), "x: found 'optuna#float(1,0)'"),
        (set_up(hopaas_trial=1), "hopaas_trial: the answer has this key"),
        (set_up(**{"": 1}), "a property's name"),
        (set_up(**{"a\tb": 1}), "a property's name"),
        (set_up(**{f"p{i}": "optuna#float(0,1)" for i in range(101)}), "found 101 ranges; at most 100"),
    ],
)
def test_what_is_no_set_up_is_refused(given, message):
    with pytest.raises(InputError) as error:
        read_set_up(given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "pruner",
    [
        {"name": "ThresholdPruner", "args": {}},
        {"name": "ThresholdPruner", "args": {"lower": 2, "upper": 1}},
        {"name": "PercentilePruner", "args": {}},
        {"name": "SuccessiveHalvingPruner", "args": {"min_resource": "auto", "bootstrap_count": 2}},
    ],
)
def test_what_optuna_refuses_is_refused_as_the_study_file_is(pruner):
    with pytest.raises(InputError, match="pruner"):
        study(set_up(None, pruner, x="optuna#float(0,1)"))


# --- Bodies --------------------------------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no JSON"),
        (b"[1]", "expected a JSON object, found list"),
        (b"\xff{}", "it is not UTF-8"),
        (b"[" * 100_000, "no JSON"),
        (nested(33), "more than 32 levels"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": "\\ud800"}', "cannot be stored"),
        (b'{"a": ["\\u0000"]}', "cannot be stored"),
        (b'{"\\u0000": 1}', "cannot be stored"),
        (json.dumps({str(i): 1 for i in range(201)}).encode(), "201 keys; at most 200"),
        (b" " * (2**20 + 1), "at most 1048576"),
    ],
)
def test_bodies_out_of_bounds_are_refused(body, message):
    with pytest.raises(InputError) as error:
        read_object(body)
    assert message in str(error.value)


def test_bodies_within_bounds():
    assert read_object(nested(32 - 1))
    assert read_object(b'{"a": Infinity, "b": NaN}')["a"] == math.inf
    assert len(read_object(json.dumps({str(i): 1 for i in range(200)}).encode())) == 200


@given(body=st.binary())
def test_any_bytes_are_an_object_or_one_message(body):
    try:
        assert isinstance(read_object(body), dict)
    except InputError as error:
        assert "\n" not in str(error)
