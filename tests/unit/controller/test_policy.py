"""Where trials go, as a study file says."""

from __future__ import annotations

import pytest

from clearml_hpo.controller.executors import dask_plan_of
from clearml_hpo.controller.policy import agent_queues, placement_of, policy_of
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


DASK = (
    STUDY.partition("execution:")[0]
    + """\
execution:
  executor: dask
  dask: {address: tcp://a:1, resources: {GPU: 1}}
  placement:
    - {when: {kind: small}, resources: {}}
    - {when: {kind: large, x: 1}, resources: {memory: 64, GPU: 2}}
"""
)


@pytest.mark.parametrize(
    ("kind", "x", "place"), [("small", 0.5, "dask"), ("large", 0.5, "dask GPU=1"), ("large", 1, "dask GPU=2 memory=64")]
)
def test_on_dask_a_rule_is_for_resources(tmp_path, kind, x, place):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "study.yaml").write_text(DASK % "{type: categorical, choices: [small, large]}")
    file = load_study(tmp_path / "study.yaml")
    assert placement_of(file).queues_for({"General/kind": kind, "General/x": x}) == (place,)
    assert place in dask_plan_of(file.spec.execution).places
    assert agent_queues(file) == ()


@pytest.mark.parametrize(("given", "lost_after_s"), [("", 100.0), ("failures: {lost_after: 7m}\n", 420.0)])
def test_a_trial_on_dask_is_lost_sooner(tmp_path, given, lost_after_s):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "study.yaml").write_text(given + DASK % "{type: categorical, choices: [small, large]}")
    assert policy_of(load_study(tmp_path / "study.yaml")).failures.lost_after_s == lost_after_s
