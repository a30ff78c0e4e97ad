"""Where trials go, as a study file says."""

from __future__ import annotations

import pytest

from clearml_hpo.controller.policy import placement_of
from clearml_hpo.study_file import load_study

STUDY = """\
study: placed
template: {script: train.py}
search_space:
  kind: %s
  x: {type: float, low: 0, high: 1}
objective: {metric: a/b, direction: minimize}
budget: {trials: 3}
execution:
  queue: default
  placement:
    - {when: {kind: large, x: [0, 1]}, queue: corner}
    - {when: {kind: large}, queue: gpu}
"""


@pytest.mark.parametrize(
    ("kind", "params", "queue"),
    [
        ("{type: categorical, choices: [small, large]}", {"General/kind": "large", "General/x": 0.5}, "gpu"),
        ("{type: categorical, choices: [small, large]}", {"General/kind": "small", "General/x": 0.5}, "default"),
        ("large", {"General/x": 0.5}, "gpu"),
        ("large", {"General/x": 1}, "corner"),
    ],
)
def test_a_rule_looks_at_parameters_and_at_constants(tmp_path, kind, params, queue):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "study.yaml").write_text(STUDY % kind)
    assert placement_of(load_study(tmp_path / "study.yaml")).queues_for(params) == (queue,)
