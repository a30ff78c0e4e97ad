"""The example of several models, by the command line: three libraries, warm workers, a study that goes on."""

from __future__ import annotations

import json

import pytest

from .conftest import ROOT

pytestmark = [pytest.mark.agent, pytest.mark.embedded, pytest.mark.long]

STUDY = "examples/04_several_models/study.yaml"
ESTIMATORS = """
study: estimators
template: {{script: {root}/templates/sklearn_train.py}}
search_space: {root}/search_spaces/sklearn/default.yaml
objective: {{metric: validation/logloss, direction: minimize, value: best}}
sampler: {{name: random, seed: 1}}
budget: {{trials: 8}}
"""
MODELS = ["catboost", "xgboost", "lightgbm"]


def run(machine, tmp_path, *options):
    out = tmp_path / "out.json"
    code, output = machine.run("run", STUDY, "--local", "--cpu", "2", "--output", str(out), *options)
    assert code == 0, output
    return output, json.loads(out.read_text())


def test_each_model_begins_with_its_defaults_and_the_study_goes_on(machine, tmp_path):
    output, result = run(machine, tmp_path, "--set", "budget.trials=5")
    assert [trial["params"]["General/model"] for trial in result["trials"][:3]] == MODELS
    assert {trial["state"] for trial in result["trials"]} == {"completed"}
    assert result["trials"][1]["params"]["xgboost/max_depth"] == 6
    assert output.count("is new: its first run") == 3
    output, more = run(machine, tmp_path, "--set", "budget.trials=6")
    kept = [[(trial["task_id"], trial["value"], trial["params"]) for trial in r["trials"]] for r in (result, more)]
    assert kept[1][:5] == kept[0] and len(kept[1]) == 6
    assert "is new" not in output
    code, output = machine.run("check", STUDY, "--local")
    assert code == 0 and all(f"{model}: template" in output for model in MODELS), output
    assert machine.left_running() == []


def test_several_estimators_of_one_template(machine, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(ESTIMATORS.format(root=ROOT))
    out = tmp_path / "out.json"
    code, output = machine.run("run", str(study), "--local", "--cpu", "2", "--output", str(out))
    assert code == 0, output
    trials = json.loads(out.read_text())["trials"]
    assert {trial["state"] for trial in trials} == {"completed"} and len(trials) == 8
    assert len({trial["params"]["General/estimator"] for trial in trials}) > 1
    for trial in trials:
        prefix = "hist" if trial["params"]["General/estimator"] == "hist_gradient_boosting" else "forest"
        assert all(name.startswith((f"General/{prefix}_", "General/estimator")) for name in trial["params"])


def test_one_model_alone_and_a_constant_for_all(machine, tmp_path):
    chosen = ("--set", "study=one-model", "--set", "search_space.model=lightgbm", "--set", "budget.trials=2")
    _, result = run(machine, tmp_path, *chosen)
    assert {name.partition("/")[0] for trial in result["trials"] for name in trial["params"]} == {"lightgbm", "General"}
    fewer = ("--set", "study=larger", "--set", "budget.trials=4", "--set", "search_space.iterations=5")
    _, result = run(machine, tmp_path, *fewer)
    assert [trial["params"]["General/model"] for trial in result["trials"][:3]] == MODELS
    assert result["trials"][0]["value"] > 0.3, "CatBoost has learnt little after five iterations"
