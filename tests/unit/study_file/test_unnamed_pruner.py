"""A study file that names no pruner: a new one has ``auto``, one that was kept before that existed has ``none``."""

from __future__ import annotations

import pytest
import yaml

from clearml_hpo.core.errors import InputError
from clearml_hpo.study_file import StudyFile, load_campaign, load_study, parse_study

STUDY = """\
study: demo
template: {task: 0123456789abcdef0123456789abcdef}
search_space: {x: {type: float, low: 0, high: 1}}
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 20}
"""
UNNAMED = ("", "pruner: {min_iterations: 5}\n", "pruner:\n")


def kept(file: StudyFile) -> str:
    """As the controller task keeps it."""
    return file.text({"": "0" * 32})


@pytest.mark.parametrize("block", UNNAMED)
def test_a_new_one_has_auto_and_keeps_it(tmp_path, block):
    (tmp_path / "study.yaml").write_text(STUDY + block)
    for file in (load_study(tmp_path / "study.yaml"), parse_study(STUDY + block, "study", is_new=True)):
        assert (file.spec.pruner.name, file.names_pruner) == ("auto", False)
        again = parse_study(kept(file), "study")
        assert (again.spec.pruner.name, again.names_pruner) == ("auto", True)
        assert again.spec.pruner.min_iterations == file.spec.pruner.min_iterations


@pytest.mark.parametrize("block", UNNAMED)
def test_one_that_was_kept_has_none_and_keeps_it(block):
    file = parse_study(STUDY + block, "study")
    assert (file.spec.pruner.name, file.names_pruner) == ("none", False)
    assert parse_study(kept(file), "study").spec.pruner.name == "none"
    assert parse_study(STUDY + block, "study", ["pruner.min_time=5"]).spec.pruner.name == "none"
    assert parse_study(STUDY + block, "study", ["pruner.name=median"]).spec.pruner.name == "median"


@pytest.mark.parametrize("named", ["pruner: median\n", "pruner: {name: median, options: {n_startup_trials: 3}}\n"])
def test_a_named_one_is_what_it_is(named):
    for file in (parse_study(STUDY + named, "study"), parse_study(STUDY + named, "study", is_new=True)):
        assert file.spec.pruner.name == "median" and yaml.safe_load(kept(file))["pruner"] == file.data["pruner"]


def test_several_objectives_need_no_named_metric(tmp_path):
    text = STUDY.replace(
        "{metric: validation/loss, direction: minimize}",
        "[{metric: a/b, direction: minimize}, {metric: c/d, direction: minimize}]",
    )
    assert parse_study(text, "study", is_new=True).goal.pruning_objective is None
    with pytest.raises(InputError, match=r"pruner\.metric is missing"):
        parse_study(f"{text}pruner: falling\n", "study")


def test_the_studies_of_a_campaign_have_auto(tmp_path):
    (tmp_path / "campaign.yaml").write_text(
        "campaign: all\nresources: {cpu: {}}\nmodels: {a: {template: {task: 0123456789abcdef0123456789abcdef}, "
        "search_space: {x: {type: float, low: 0, high: 1}}, resources: [cpu]}}\ndatasets: {one: {}}\n"
        "objective: {metric: validation/loss, direction: minimize}\nbudget: {trials: 20}\n"
    )
    (member,) = load_campaign(tmp_path / "campaign.yaml").members
    assert (member.file.spec.pruner.name, member.file.names_pruner) == ("auto", False)
