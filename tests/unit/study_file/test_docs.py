"""docs/study_file.md names every key, and its examples are sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from clearml_hpo.search import pruners, samplers
from clearml_hpo.study_file import load_study
from clearml_hpo.study_file.models import StudySpec

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "study_file.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for inner in get_args(annotation):
        yield from models_in(inner)


KEYS = sorted({key for model in models_in(StudySpec) for key in model.model_fields})


@pytest.mark.parametrize("key", [*KEYS, *samplers.NAMES, *pruners.NAMES])
def test_every_key_and_name_is_explained(key):
    assert re.search(rf"\b{key}\b", DOCS), f"docs/study_file.md says nothing of {key}"


def test_the_example_is_sound(tmp_path):
    example, space = BLOCKS[:2]
    (tmp_path / "train.py").write_text("")
    (tmp_path / "space.yaml").write_text(space)
    (tmp_path / "study.yaml").write_text(example)
    file = load_study(tmp_path / "study.yaml")
    assert set(StudySpec.model_fields) == set(yaml.safe_load(example)), "the example has every top-level key"
    assert file.space.is_conditional and file.first[0]["General/learning_rate"] == 0.1


def test_the_example_of_several_models_is_sound(tmp_path):
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    for name in ("catboost", "xgboost"):
        (tmp_path / f"{name}_train.py").write_text("")
    rest = "study: several\nobjective: {metric: a/b, direction: minimize}\nbudget: {trials: 9}\n"
    (tmp_path / "study.yaml").write_text(BLOCKS[2] + rest)
    space = load_study(tmp_path / "study.yaml").space
    assert {"catboost/depth", "xgboost/learning_rate", "General/max_bin"} <= space.distributions.keys()
    assert space.names_in("xgboost")["xgboost/learning_rate"] == "General/learning_rate"


def test_the_example_of_dask_is_sound(tmp_path):
    rest = (
        "study: dask\ntemplate: {task: abc}\nsearch_space: {model: {type: categorical, choices: [catboost, xgboost]}}\n"
        "objective: {metric: a/b, direction: minimize}\nbudget: {trials: 9}\n"
    )
    (example,) = (block for block in BLOCKS if block.startswith("execution:"))
    (tmp_path / "study.yaml").write_text(example + rest)
    execution = load_study(tmp_path / "study.yaml").spec.execution
    assert execution.dask.resources == {"GPU": 1} and execution.placement[0].resources == {}


def test_the_example_of_fidelity_is_sound(tmp_path):
    rest = (
        "study: lengths\ntemplate: {task: abc}\nsearch_space: {x: {type: int, low: 0, high: 9}}\n"
        "objective: {metric: a/b, direction: minimize}\nbudget: {trials: 9}\n"
    )
    (example,) = (block for block in BLOCKS if block.startswith("fidelity:"))
    (tmp_path / "study.yaml").write_text(example + rest)
    assert load_study(tmp_path / "study.yaml").fidelity.lengths == (50, 100, 200, 400)


def test_the_example_of_notifications_is_sound(tmp_path):
    rest = (
        "study: told\ntemplate: {task: abc}\nsearch_space: {x: {type: int, low: 0, high: 9}}\n"
        "objective: {metric: a/b, direction: minimize}\nbudget: {trials: 9}\n"
    )
    (example,) = (block for block in BLOCKS if block.startswith("notify:"))
    (tmp_path / "study.yaml").write_text(example + rest)
    notify = load_study(tmp_path / "study.yaml").spec.notify
    assert notify.events == {"ended": 0, "failed": 0, "best": 0, "failures": 3, "no_worker": 600}
    assert notify.command[-1] == "a study has news"
