"""What scripts suggest themselves, kept with the study."""

from __future__ import annotations

import json

from clearml_hpo.controller.suggestions import learn
from clearml_hpo.search.space import Categorical, Float, Int
from clearml_hpo.study_file import load_study, parse_study


def suggested(**definitions):
    entries = {name: {"name": name, "value": "1", "description": json.dumps(d)} for name, d in definitions.items()}
    return {"General": {**entries, "other": {"name": "other", "value": "1", "description": "no range"}}}


def test_the_study_keeps_the_space_as_it_has_grown(tmp_path):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "study.yaml").write_text(
        "{study: f, template: {script: train.py}, search_space: {}, define_by_run: true, budget: {trials: 2}, "
        "objective: {metric: a/b, direction: minimize}}"
    )
    file = load_study(tmp_path / "study.yaml")
    assert learn(file, suggested(n={"type": "int", "low": 1, "high": 3, "step": 1, "log": False}))
    assert not learn(file, suggested(n={"type": "int", "low": 2, "high": 3, "step": 1, "log": False}))
    more = {"x": {"type": "float", "low": 0, "high": 1, "step": 0.5}, "c": {"type": "categorical", "choices": ["a", 1]}}
    assert learn(file, suggested(n={"type": "int", "low": 2, "high": 9}, **more))
    again = parse_study(file.text({"": "0" * 32}), "kept").space
    assert (
        again.parameters
        == file.space.parameters
        == {
            "General/n": Int(1, 9),
            "General/x": Float(0, 1, step=0.5),
            "General/c": Categorical(("a", 1)),
        }
    )
