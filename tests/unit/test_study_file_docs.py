"""docs/study_file.md names every key, and its examples are sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from clearml_hpo import pruners, samplers
from clearml_hpo.spec import load_study
from clearml_hpo.spec.models import StudySpec

DOCS = (Path(__file__).parents[2] / "docs" / "study_file.md").read_text()
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
    example, space = BLOCKS
    (tmp_path / "train.py").write_text("")
    (tmp_path / "space.yaml").write_text(space)
    (tmp_path / "study.yaml").write_text(example)
    file = load_study(tmp_path / "study.yaml")
    assert set(StudySpec.model_fields) == set(yaml.safe_load(example)), "the example has every top-level key"
    assert file.space.is_conditional and file.first[0]["General/learning_rate"] == 0.1
