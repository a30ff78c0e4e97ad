"""A study file with several templates: what belongs to which, and what is said of mistakes."""

from __future__ import annotations

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.search.space import Categorical, Constant, Float, Int
from clearml_hpo.study_file import load_study, parse_study

STUDY = """\
study: models
template:
  models:
    forest: {script: forest.py}
    linear: {task: 3f9c}
search_space:
  model:
    type: categorical
    choices:
      forest: spaces/forest.yaml
      linear:
        rate: {type: float, low: 0.1, high: 1}
        Args/alpha: {type: float, low: 0, high: 1}
  rows: 1000
  folds: {type: int, low: 2, high: 5}
enqueue:
  - {model: linear, rate: 0.5}
  - {model: forest, forest/rate: 0.01, folds: 3}
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 9}
execution: {queue: default, placement: [{when: {model: forest}, queue: gpu}]}
"""
FOREST = """\
rate: {type: float, low: 0.001, high: 0.1, log: true}
growth:
  type: categorical
  choices:
    by_depth: depth.yaml
    by_leaf:
      leaves: {type: int, low: 2, high: 64}
bins: {type: int, low: 8, high: 32, when: {growth: by_leaf}}
"""
DEPTH = "depth: {type: int, low: 1, high: 9}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "forest.py").write_text("")
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "spaces" / "forest.yaml").write_text(FOREST)
    (tmp_path / "spaces" / "depth.yaml").write_text(DEPTH)
    return tmp_path


def load(folder, *overrides):
    return load_study(folder / "study.yaml", overrides)


def test_what_a_model_opens_is_its_own(folder):
    space = load(folder).space
    assert space.models == space.used_models == ("forest", "linear")
    assert space.parameters == {
        "General/model": Categorical(("forest", "linear")),
        "forest/rate": Float(0.001, 0.1, log=True),
        "forest/growth": Categorical(("by_depth", "by_leaf")),
        "forest/depth": Int(1, 9),
        "forest/leaves": Int(2, 64),
        "forest/bins": Int(8, 32),
        "linear/rate": Float(0.1, 1.0),
        "linear/Args/alpha": Float(0.0, 1.0),
        "General/rows": Constant(1000),
        "General/folds": Int(2, 5),
    }
    of_forest = {"General/model": ("forest",)}
    assert space.conditions["forest/rate"] == of_forest
    assert space.conditions["forest/depth"] == {"forest/growth": ("by_depth",), **of_forest}
    assert space.conditions["forest/bins"] == {"forest/growth": ("by_leaf",), **of_forest}
    assert "General/folds" not in space.conditions


def test_a_task_has_the_names_of_its_template(folder):
    space = load(folder).space
    point = {"General/model": "linear", "linear/rate": 0.5, "linear/Args/alpha": 0.0, "General/folds": 2}
    assert space.contains(point) and space.model_of(point) == "linear"
    in_task = {"General/rate": 0.5, "Args/alpha": 0.0, "General/folds": 2, "General/rows": 1000}
    assert space.in_task(point) == in_task
    texts = {name: str(value) for name, value in in_task.items()}
    assert space.parse(space.named(texts, "linear")) == point
    assert not space.contains(space.parse(space.named(texts, "forest")))
    assert not space.contains(space.parse(space.named(texts, "")))


def test_a_bare_name_stands_for_a_parameter_of_the_points_own_model(folder):
    first = load(folder, "enqueue=[{model: linear, alpha: 0.25}]").first
    assert first == ({"General/model": "linear", "linear/Args/alpha": 0.25},)
    with pytest.raises(InputError, match="alpha: no parameter that varies; did you mean 'linear/Args/alpha'"):
        load(folder, "enqueue=[{model: forest, alpha: 0.25}]")


def test_points_to_try_first_may_leave_out_the_model_in_names(folder):
    assert load(folder).first == (
        {"General/model": "linear", "linear/rate": 0.5},
        {"General/model": "forest", "forest/rate": 0.01, "General/folds": 3},
    )


def test_what_the_controller_keeps_can_be_read_again(folder):
    file = load(folder)
    again = parse_study(file.text({"forest": "f" * 32, "linear": "a" * 32}), "study")
    assert again.space == file.space and again.first == file.first
    assert {model: one.task for model, one in again.spec.template.by_model.items()} == {
        "forest": "f" * 32,
        "linear": "a" * 32,
    }


def test_one_model_may_be_chosen_from_the_command_line(folder):
    file = load(folder, "search_space.model=linear", "search_space.linear/rate.high=0.7", "enqueue=[{rate: 0.2}]")
    assert file.space.used_models == ("linear",) and file.space.models == ("forest", "linear")
    assert file.space.parameters["linear/rate"] == Float(0.1, 0.7)
    point = {"linear/rate": 0.5, "linear/Args/alpha": 0.0, "General/folds": 2}
    assert file.space.contains(point) and file.space.model_of(point) == "linear"
    assert file.first == ({"linear/rate": 0.2},)


def test_a_condition_by_hand_keeps_a_shared_parameter_from_a_template(folder):
    space = load(folder, "search_space.trees={type: int, low: 1, high: 2, when: {model: forest}}").space
    assert "General/trees" in space.names_in("forest") and "General/trees" not in space.names_in("linear")


def test_names_without_the_model_do_where_they_are_clear(folder):
    space = load(folder, "search_space.leaves.high=32", "parameter_constraints=['leaves < 20']").space
    assert space.parameters["forest/leaves"] == Int(2, 32)
    assert space.constraints[0].names == {"forest/leaves"}
    with pytest.raises(
        InputError, match=r"no parameter 'rate'.*there are forest/rate, linear/rate: write {forest/rate}"
    ):
        load(folder, "parameter_constraints=['rate < 0.5']")


def test_without_a_parameter_model_nothing_says_which_template(folder):
    with pytest.raises(InputError, match=r"with template.models, model is a categorical whose choices are"):
        load(folder, "search_space={linear/rate: {type: float, low: 0, high: 1}}")


def test_a_branch_of_any_choice_may_be_a_file(folder):
    (folder / "study.yaml").write_text(
        STUDY.partition("template:")[0]
        + "template: {script: forest.py}\nsearch_space: spaces/forest.yaml\n"
        + "objective: {metric: a/b, direction: minimize}\nbudget: {trials: 9}\n"
    )
    space = load(folder).space
    assert space.parameters["General/depth"] == Int(1, 9)
    assert space.conditions["General/depth"] == {"General/growth": ("by_depth",)}


MISTAKES = {
    "no such file": (("spaces/forest.yaml", "spaces/forrest.yaml"), r"study.yaml:10: .*choices.forest: no such file"),
    "a file within itself": (("depth.yaml", "forest.yaml"), r"forest.yaml:5: .*forest.yaml includes itself"),
    "a name of no model": (
        ("      linear:\n", "      liner:\n"),
        r"template.models has no 'liner'; did you mean 'linear'",
    ),
    "a model without choice": (
        ("    linear: {task: 3f9c}", "    linear: {task: 3f9c}\n    tree: {task: 4f}"),
        r"no choice is 'tree'",
    ),
    "for all and for one": (("  rows: 1000", "  rate: 0.1"), r"linear.rate: given twice: General/rate is for all"),
    "two ways": (("  models:\n", "  script: forest.py\n  models:\n"), r"give one of: script; .*; models"),
    "a section for a name": (("    linear: {task: 3f9c}", "    Args: {task: 3f9c}"), r"'Args' cannot be the name"),
    "an unknown key of a model": (
        ("{task: 3f9c}", "{tsk: 3f9c}"),
        r":5: template.models.linear.tsk: unknown key; did you mean 'task'",
    ),
    "no such script": (("script: forest.py", "script: forrest.py"), r":4: template.models.forest.script: no such file"),
    "a point of no model": (("{model: linear, rate: 0.5}", "{rate: 0.5}"), r"enqueue.0.model is missing"),
    "fewer trials than models": (("trials: 9", "trials: 1"), r"budget.trials: found 1; 2 models want 2 or more"),
    "a range in a branch": (
        ("high: 0.1, log", "high: 0.0001, log"),
        r"forest.yaml:1: search_space.forest/rate: low .* above",
    ),
    "a condition in a branch": (
        ("growth: by_leaf}", "growth: by_laef}"),
        r"forest.yaml:8: .*forest/growth is never 'by_laef'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_said_with_file_and_line(folder, mistake):
    (found, instead), message = MISTAKES[mistake]
    for file in (folder / "study.yaml", folder / "spaces" / "forest.yaml"):
        file.write_text(file.read_text().replace(found, instead))
    with pytest.raises(InputError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("overrides", "is_warned"),
    [
        (["pruner=median"], True),
        (["pruner=median", "search_space.model=linear", "enqueue=[]"], False),
        (["pruner={name: median, min_iterations: 5}"], False),
        ([], False),
    ],
)
def test_a_pruner_that_compares_models_is_remarked_on(folder, overrides, is_warned):
    assert ("set pruner.min_iterations" in load(folder, *overrides).remark_on_pruner) is is_warned
