"""The text of a study file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clearml_hpo.drafting.draft import MOST_VARIED, draft, flow, missing_arguments, text_of, trials_for
from clearml_hpo.drafting.found import Findings, Found
from clearml_hpo.drafting.metrics import metric
from clearml_hpo.study_file import parse_study

ODD = [
    Found("General/lr", "float", 0.1),
    Found("General/sp ace", "int", 8),
    Found("General/on", "bool", True),
    Found("General/text", "str", "two\nlines: {x}"),
    Found("General/long", "str", "x" * 1000),
    Found("General/yes", "str", "no", ("yes", "no", "a\nb", "1e3")),
    Found("config:Model/sub.rate", "float", 1e-07),
    Found("General/ünï", "list", [1, (2, "#")]),
]


def drafted(*parameters, metrics=("val/loss",)):
    return draft("abc", {"task": "x"}, Findings(parameters, tuple(map(metric, metrics))), "train.py")


def test_odd_names_and_values_are_yaml():
    text = text_of(drafted(*ODD))
    space = parse_study(text, "study").space
    assert set(space.all_parameters) == {
        "General/lr",
        "General/sp ace",
        "General/on",
        "General/yes",
        "config:Model/sub.rate",
    }
    assert space.all_parameters["General/yes"].choices == ("yes", "no", "a\nb", "1e3")
    assert max(map(len, text.splitlines())) < 250


@pytest.mark.parametrize("value", ["a\nb", "no", "1e3", 1e-7, None, True, [1, "x: y"], "", "#", {"a": 1}])
def test_a_value_is_one_line_and_comes_back(value):
    text = flow(value)
    assert "\n" not in text and yaml.safe_load(text) == value


def test_a_value_that_yaml_does_not_know_is_its_text():
    class Kind(str):
        """As a member of an Enum is read."""

    assert flow(Kind("sgd")) == "sgd" and flow((1, Path("a/b"))) == "[1, a/b]"


@pytest.mark.parametrize(
    ("given", "project"), [("vision/tuning", "vision/tuning"), ("a/tuning", "clearml-hpo"), ("", "clearml-hpo")]
)
def test_the_project_is_the_scripts_if_a_server_takes_its_name(given, project):
    found = draft("abc", {"task": "x"}, Findings((), (), project=given), "train.py")
    assert yaml.safe_load(text_of(found))["project"] == project


def test_the_most_promising_parameters_vary_when_there_are_many():
    several = [Found(f"General/x{number}", "int", 8) for number in range(20)]
    found = drafted(*several, Found("General/dropout", "float", 0.1), Found("General/act", "str", "a", ("a", "b")))
    assert len(found.varied) == MOST_VARIED
    assert {"General/dropout", "General/act"} <= set(found.varied)
    assert found.trials == trials_for(MOST_VARIED) == 64


def test_an_option_that_is_connected_once_more_is_offered_once():
    both = (Found("Args/lr", "float", 0.1, flag="--lr"), Found("Options/lr", "float", 0.1, flag="--lr"))
    findings = Findings(both, (metric("val/loss"),), repeated=frozenset({"Args/lr"}))
    assert list(draft("abc", {"task": "x"}, findings, "train.py").ranges) == ["Options/lr"]


def test_without_a_scalar_there_is_a_placeholder_and_without_parameters_an_empty_space():
    text = text_of(drafted(metrics=()))
    assert "PLACEHOLDER" in text and yaml.safe_load(text)["search_space"] == {}


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], ["data", "folder"]),
        (["--data", "x.csv"], ["folder"]),
        (["--data=x.csv", "out"], []),
        (["out"], ["data"]),
        (["--data", "x.csv", "out"], []),
    ],
)
def test_arguments_that_are_missing(given, missing):
    needed = [
        Found("Args/data", "str", flag="--data", is_required=True),
        Found("Args/folder", "str", is_required=True, is_positional=True),
        Found("Args/lr", "float", 0.1, flag="--lr"),
    ]
    assert [found.bare for found in missing_arguments(needed, given)] == missing
