"""Conditional parameters and constraints in a study file: what they mean, and what is said of mistakes."""

from __future__ import annotations

import random

import pytest
import yaml

from clearml_hpo.core.errors import InputError
from clearml_hpo.search.space import Categorical, Constant, Float, Int, at_random
from clearml_hpo.study_file.source_lines import SourceLine, parse_yaml
from clearml_hpo.study_file.space import read_search_space, use_full_names

NESTED = """\
search_space:
  booster:
    type: categorical
    choices:
      gbtree:
        max_depth: {type: int, low: 3, high: 10}
      gblinear: {}
      dart:
        General/max_depth: {type: int, low: 3, high: 10}
        rate_drop: {type: float, low: 0, high: 0.5}
        one_drop: {type: categorical, choices: [true, false]}
        sample_type:
          type: categorical
          choices:
            uniform:
            weighted: {Args/skip: 3}
  Args/lr: {type: float, low: 1e-3, high: 1, log: true}
  min_child: {type: int, low: 1, high: 30, when: {booster: [gbtree, dart], one_drop: true}}
  warm_up: {type: constant, value: 3, when: {lr_kind: 2}}
  lr_kind: {type: int, low: 1, high: 3}
"""


def load(text):
    """The space of a file, its faults, and what it looks like written out."""
    data, lines = parse_yaml(text, lambda line: SourceLine("study.yaml", line))
    for _ in range(2):  # as happens after every --set
        use_full_names(data, lines)
    faults: list[str] = []
    space = read_search_space(data["search_space"], data.get("parameter_constraints", ()), lines, faults)
    return space, faults, data


def test_choices_open_parameters():
    space, faults, _ = load(NESTED)
    assert faults == []
    assert space.parameters == {
        "General/booster": Categorical(("gbtree", "gblinear", "dart")),
        "General/max_depth": Int(3, 10),
        "General/rate_drop": Float(0, 0.5),
        "General/one_drop": Categorical((True, False)),
        "General/sample_type": Categorical(("uniform", "weighted")),
        "Args/skip": Constant(3),
        "Args/lr": Float(1e-3, 1.0, log=True),
        "General/min_child": Int(1, 30),
        "General/warm_up": Constant(3),
        "General/lr_kind": Int(1, 3),
    }
    assert space.conditions == {
        "General/max_depth": {"General/booster": ("gbtree", "dart")},
        "General/rate_drop": {"General/booster": ("dart",)},
        "General/one_drop": {"General/booster": ("dart",)},
        "General/sample_type": {"General/booster": ("dart",)},
        "Args/skip": {"General/sample_type": ("weighted",)},
        "General/min_child": {"General/booster": ("gbtree", "dart"), "General/one_drop": (True,)},
        "General/warm_up": {"General/lr_kind": (2,)},
    }


def test_what_is_written_out_reads_the_same():
    space, _, data = load(NESTED)
    again, faults, _ = load(yaml.safe_dump(data, sort_keys=False))
    assert faults == [] and again == space


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "General/max_depth: {type: int, low: 3, high: 10}",
            "General/max_depth: {type: int, low: 3, high: 11}",
            "study.yaml:9: search_space.booster.choices.dart.General/max_depth: not as under gbtree; a parameter",
        ),
        ("rate_drop: {type", "min_child: {type", "given twice"),
        ("Args/lr: {type: float, low", "max_depth: {type: float, low", "study.yaml:17: search_space.max_depth: given"),
        ("gblinear: {}", "gblinear: 3", "study.yaml:7: search_space.booster.choices.gblinear: expected parameters"),
        ("{Args/skip: 3}", "{Args/skip: {type: itn}}", "study.yaml:16: search_space.Args/skip: type is 'itn'; did you"),
        (
            "rate_drop: {type: float, low: 0, high: 0.5}",
            "rate_drop: {type: float, low: 0, high: -0.5}",
            "study.yaml:10: search_space.General/rate_drop: low 0.0 is above high -0.5",
        ),
        (
            "[gbtree, dart]",
            "[gbtree, dort]",
            "study.yaml:18: search_space.General/min_child.when.General/booster: General/booster is never 'dort'; did",
        ),
        (
            "{booster: [gbtree",
            "{boster: [gbtree",
            "study.yaml:18: search_space.General/min_child.when.General/boster: no parameter 'General/boster' in the "
            "search space; did you mean 'General/booster'?",
        ),
        (
            "lr_kind: 2",
            "lr_kind: 4",
            "study.yaml:19: search_space.General/warm_up.when.General/lr_kind: General/lr_kind is",
        ),
        ("lr_kind: 2", "Args/lr: 0.1", "Args/lr is a float; a condition looks at a categorical, an int or a constant"),
        ("lr_kind: 2", "lr_kind: []", "no value of General/lr_kind is named"),
        (
            "lr_kind: 2",
            "lr_kind: {a: 2}",
            "study.yaml:19: search_space.General/warm_up.when.General/lr_kind: expected a",
        ),
        ("when: {lr_kind: 2}", "when: lr_kind", "search_space.General/warm_up.when: expected names and values"),
        ("value: 3, when", "values: 3, when", "General/warm_up.values: unknown key; did you mean 'value'?"),
        ("value: 3, when", "when", "search_space.General/warm_up.value: expected text, a number"),
        (
            "lr_kind: {type: int, low: 1, high: 3}",
            "lr_kind: {type: int, low: 1, high: 3, when: {min_child: 1}}",
            "",
        ),
        (
            "lr_kind: {type: int, low: 1, high: 3}",
            "lr_kind: {type: int, low: 1, high: 3, when: {warm_up: 3}}",
            "it depends on itself: General/warm_up → General/lr_kind → General/warm_up",
        ),
    ],
)
def test_mistakes_are_named_with_file_and_line(old, new, said):
    text = NESTED.replace(old, new, 1)
    assert text != NESTED
    try:
        _, faults, _ = load(text)
    except InputError as error:
        faults = str(error).splitlines()
    assert said in "\n".join(faults) and bool(faults) == bool(said)


@pytest.mark.parametrize(
    ("sgd", "adam", "lr"),
    [
        (
            "{type: float, low: 0.01, high: 1.0}",
            "{type: float, low: 1.0e-5, high: 0.01}",
            "float, low: 1.0e-5, high: 1}",
        ),
        ("0.1", "0.001", "categorical, choices: [0.1, 0.001]}"),
        ("{type: categorical, choices: [1, 2]}", "{type: int, low: 3, high: 5}", "int, low: 1, high: 5}"),
    ],
)
@pytest.mark.parametrize("section", ["", "Args/"])
def test_another_range_under_each_choice_is_refused_with_the_way_to_write_it(sgd, adam, lr, section):
    name = f"{section}opt"
    opened = f"""
search_space:
  {name}:
    type: categorical
    choices: {{sgd: {{{section}lr: {sgd}}}, adam: {{{section}lr: {adam}}}}}
"""
    with pytest.raises(
        InputError, match=r"study.yaml:5: .*a parameter has one range wherever it is active: write"
    ) as told:
        load(opened)
    constraints = str(told.value).partition("parameter_constraints: ")[2]
    assert len(yaml.safe_load(constraints)) == 2
    space, faults, _ = load(
        f"search_space:\n  {name}: {{type: categorical, choices: [sgd, adam]}}\n  {section}lr: {{type: {lr}\n"
        f"parameter_constraints: {constraints}"
    )
    assert faults == []
    drawn = [space.build(at_random(random.Random(seed))) for seed in range(200)]
    kept = [point for point in drawn if space.allows(point)]
    opt, rate = space.parameters
    highest = {choice: max(point[rate] for point in kept if point[opt] == choice) for choice in ("sgd", "adam")}
    lowest = {choice: min(point[rate] for point in kept if point[opt] == choice) for choice in ("sgd", "adam")}
    assert highest["adam"] <= lowest["sgd"] or highest["sgd"] <= lowest["adam"]


def test_a_condition_finds_a_parameter_by_its_last_part():
    space, faults, _ = load(
        "search_space:\n  Args/kind: {type: categorical, choices: [a, b]}\n"
        "  x: {type: int, low: 1, high: 2, when: {kind: a}}"
    )
    assert not faults and space.conditions == {"General/x": {"Args/kind": ("a",)}}


PAIR = """\
search_space:
  a: {type: int, low: 1, high: 9}
  Args/b: {type: float, low: 0, high: 1}
  kind: {type: categorical, choices: [x, y]}
parameter_constraints:
  - "a * b <= 3"
  - "%s"
"""


def test_constraints_are_read_with_the_space():
    space, faults, _ = load(PAIR % "{General/a} > {Args/b} or kind == 'x'")
    assert faults == [] and [str(c) for c in space.constraints] == [
        "a * b <= 3",
        "{General/a} > {Args/b} or kind == 'x'",
    ]
    assert space.contains({"General/a": 3, "Args/b": 1.0, "General/kind": "y"})
    assert not space.contains({"General/a": 4, "Args/b": 1.0, "General/kind": "y"})


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("c < 3", "study.yaml:7: parameter_constraints.1: no parameter 'c' in the search space"),
        ("Args/b < 3", "study.yaml:7: parameter_constraints.1: no parameter 'Args' in the search space; a name with"),
        ("a <", "study.yaml:7: parameter_constraints.1: 'a <' is no expression"),
        ("a.b < 3", "study.yaml:7: parameter_constraints.1: 'a.b' is not allowed"),
        ("a + b", "study.yaml:7: parameter_constraints.1: a + b: it is "),
        ("kind < 3", "study.yaml:7: parameter_constraints.1: kind < 3: '<' not supported"),
        ("a > 9", "study.yaml:5: parameter_constraints: none of 1000 points drawn at random keeps them"),
        ("a / (b - b) > 1", "none of 1000 points"),
    ],
)
def test_mistakes_in_constraints_are_named_with_file_and_line(expression, said):
    _, faults, _ = load(PAIR % expression)
    (fault,) = faults
    assert said in fault


def test_a_small_space_is_searched_to_the_end_before_constraints_are_called_impossible():
    text = "search_space:\n  a: {type: int, low: 1, high: 999}\nparameter_constraints: ['a == 777']\n"
    _, faults, _ = load(text)
    assert faults == []
