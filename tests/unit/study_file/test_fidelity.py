"""The block ``fidelity`` of a study file."""

from __future__ import annotations

import pytest

from clearml_hpo.controller.opening import differences
from clearml_hpo.core.errors import Fault, InputError
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.study_file import load_study, parse_study

STUDY = """\
study: lengths
template: {task: abc}
search_space: {lr: {type: float, low: 0, high: 1}}
objective: {metric: a/b, direction: minimize}
fidelity: {parameter: iterations, min: 50, max: 450, factor: 3}
budget: {trials: 9}
"""


@pytest.fixture
def load(tmp_path):
    def load(*overrides):
        (tmp_path / "study.yaml").write_text(STUDY)
        return load_study(tmp_path / "study.yaml", overrides)

    return load


def test_lengths_are_read_and_what_the_template_needs_is_constant(load):
    file = load()
    assert file.fidelity == Fidelity("General/iterations", (50, 150, 450), 3)
    assert file.space.constants == {
        "General/iterations": 450,
        "General/continue_from": "",
        "General/save_checkpoint": False,
    }
    assert list(file.space.distributions) == ["General/lr"]
    assert load("fidelity.mode=hyperband", "fidelity.factor=9").fidelity.lengths == (50, 450)


def test_a_study_that_goes_on_has_it_still(load):
    text = load().text({"": "abc"})
    assert parse_study(text, "study").fidelity == load().fidelity


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("fidelity.max=100", "one length"),
        ("fidelity.factor=1", "fidelity.factor"),
        ("fidelity.mode=bohb", "fidelity.mode"),
        ("search_space.iterations=100", "fidelity sets it; leave it out"),
        ("search_space.iterations={type: int, low: 1, high: 9}", "fidelity sets it; leave it out"),
        ("pruner=median", "not with pruner median"),
        ("budget.trial_time=60", "not with budget.trial_time"),
        ("budget.trial_iterations=60", "not with budget.trial_iterations"),
        ("execution.queue=[default, outside]", "not with queue outside"),
        ("objective=[{metric: a/b, direction: minimize}, {metric: a/c, direction: minimize}]", "one objective"),
    ],
)
def test_what_does_not_go_with_it_is_named(load, override, said):
    with pytest.raises(InputError, match=said):
        load(override)


def test_without_it_nothing_is_refused(load):
    file = load("fidelity=null", "search_space.iterations=100", "pruner=median", "budget.trial_time=60")
    assert file.fidelity is None and file.space.constants == {"General/iterations": 100}


def test_a_template_that_cannot_go_on_is_a_fault_of_the_block(load):
    text = load().explain([Fault(("search_space", "General/continue_from"), "the template has no such parameter")])
    assert ":5: fidelity: General/continue_from: the template has no such parameter; what a template must do" in text


@pytest.mark.parametrize(
    "overrides", [["fidelity.max=900"], ["fidelity.factor=2"], ["fidelity=null"], ["fidelity.mode=hyperband"]]
)
def test_the_lengths_of_a_study_that_exists_are_fixed(load, overrides):
    stored = parse_study(load().text({"": "0" * 32}), "study")
    assert differences(stored, load(), {"": "0" * 32}) == []
    assert differences(stored, load(*overrides), {"": "0" * 32}) == ["fidelity"]
