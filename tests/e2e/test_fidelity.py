"""The examples of trials that pause and go on: local workers, real checkpoints on the files server."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter

import pytest

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.embedded, pytest.mark.long]

STUDY = "examples/14_fidelity/study.yaml"
SHORT = ["fidelity.min=2", "fidelity.max=18", "budget.trials=9"]
RUN = ["run", STUDY, "--local", "--cpu", "2", *(word for override in SHORT for word in ("--set", override))]


def attempts_of(result):
    """All attempts by trial, in order."""
    found = {}
    for attempt in sorted((*result["attempts"], *result["trials"]), key=lambda each: each["attempt"]):
        found.setdefault(attempt["number"], []).append(attempt)
    return found


def check(result):
    """Each trial began at 2, went on from its own task, and the best one is complete."""
    attempts = attempts_of(result)
    assert sorted(attempts) == list(range(9))
    for those in attempts.values():
        ended = [each for each in those if each["state"] in ("paused", "completed")]
        assert [each["length"] for each in ended] == [2, 6, 18][: len(ended)]
        assert [each["continues"] for each in ended] == ["", *(each["task_id"] for each in ended[:-1])]
        values = [each["value"] for each in ended]
        assert values == sorted(values, reverse=True), "a value counts that is the best of the whole run"
    best = next(each for each in result["trials"] if each["number"] == result["best"]["number"])
    assert best["length"] == 18 and best["state"] == "completed"
    assert Counter(each["state"] for each in result["trials"]).keys() == {"paused", "completed"}


def test_the_best_trials_go_on_from_their_own_checkpoints(machine, tmp_path):
    code, output = machine.run(*RUN, "--output", str(tmp_path / "out.json"))
    assert code == 0, output
    assert "asha: trials pause" not in output and "fidelity says which trials go on" in output
    check(json.loads((tmp_path / "out.json").read_text()))
    code, output = machine.run("check", STUDY, "--local")
    assert code == 0 and "asha: trials pause at General/iterations = 20, 60, and are complete at 180" in output
    assert machine.run("server", "start")[0] == 0
    try:
        code, output = machine.run("study", "show", "xgboost-digits-fidelity")
        assert code == 0 and "at 2: " in output and "at 18: " in output
    finally:
        machine.run("server", "stop")


def test_a_killed_run_goes_on_where_it_was(machine, tmp_path):
    process = machine.start(*RUN, "--new")
    for line in process.stdout:
        if "(attempt 2)" in line:
            break
    process.kill()
    process.wait()
    machine.wait_until_nothing_runs()
    code, output = machine.run(*RUN, "--output", str(tmp_path / "out.json"))
    assert code == 0, output
    check(json.loads((tmp_path / "out.json").read_text()))


def test_hyperband_begins_at_several_lengths(machine, tmp_path):
    code, output = machine.run(
        *RUN, "--new", "--set", "fidelity.mode=hyperband", "--output", str(tmp_path / "out.json")
    )
    assert code == 0, output
    attempts = attempts_of(json.loads((tmp_path / "out.json").read_text()))
    assert {those[0]["length"] for those in attempts.values()} == {2, 6, 18}


def test_a_template_that_cannot_go_on_is_refused_before_a_trial_starts(machine):
    other = [
        "--set",
        "template.script=../../templates/minimal_train.py",
        "--set",
        "search_space={l2: {type: float, low: 0, high: 1}}",
    ]
    code, output = machine.run("check", STUDY, "--local", *other)
    assert code == 2 and "fidelity: General/continue_from: " in output and "docs/study_file.md" in output, output


def test_members_of_a_population_go_on_from_better_ones(machine, tmp_path):
    script = tmp_path / "population.py"
    text = (ROOT / "examples/15_population/population.py").read_text()
    short = text.replace("MEMBERS, GENERATIONS, ITERATIONS = 6, 4, 15", "MEMBERS, GENERATIONS, ITERATIONS = 4, 2, 3")
    assert short != text
    script.write_text(short.replace("Path(__file__).parents[2]", f"Path({str(ROOT)!r})"))
    code, output = machine.run(str(script), command=[sys.executable])
    assert code == 0, output
    found = re.search(r"^best: ([\d.]+) after 6 iterations", output, re.MULTILINE)
    assert found and float(found[1]) < 2.3, "better than chance"
    assert len(re.findall(r"continue_from=[0-9a-f]{32}", output)) >= 1


OWN = """
import json
from pathlib import Path

from clearml import Task

task = Task.init("clearml-hpo/examples", "descent", output_uri=True)
params = task.connect({"x": 0.5, "steps": 8, "continue_from": "", "save_checkpoint": False})
state = {"step": 0, "loss": 1.0 + params["x"]}
if params["continue_from"]:
    artifact = Task.get_task(params["continue_from"]).artifacts["checkpoint"]
    state = json.loads(Path(artifact.get_local_copy(raise_on_error=True)).read_text())
    if params["steps"] == 4:
        raise RuntimeError("the checkpoint is broken")
while state["step"] < params["steps"]:
    state = {"step": state["step"] + 1, "loss": state["loss"] * 0.9}
    task.get_logger().report_scalar("validation", "loss", state["loss"], state["step"])
if params["save_checkpoint"]:
    Path("state.json").write_text(json.dumps(state))
    task.upload_artifact("checkpoint", Path("state.json"), wait_on_upload=True)
"""
OWN_STUDY = """
study: own-checkpoints
template: {script: descent.py}
search_space: {x: {type: float, low: 0, high: 1}}
objective: {metric: validation/loss, direction: minimize}
fidelity: {parameter: steps, min: 2, max: 8, factor: 2}
budget: {trials: 3}
"""


def test_an_own_script_whose_checkpoints_are_broken_begins_anew(machine, tmp_path):
    """Each continuation from 2 to 4 fails; those from 4 to 8 work."""
    (tmp_path / "descent.py").write_text(OWN)
    (tmp_path / "study.yaml").write_text(OWN_STUDY)
    out = tmp_path / "out.json"
    code, output = machine.run("run", str(tmp_path / "study.yaml"), "--local", "--cpu", "2", "--output", str(out))
    assert code == 0, output
    result = json.loads(out.read_text())
    best = attempts_of(result)[result["best"]["number"]]
    assert [(each["state"], each["length"]) for each in best] == [
        ("paused", 2),
        ("failed", 4),
        ("paused", 4),
        ("completed", 8),
    ]
    assert [each["continues"] for each in best] == ["", best[0]["task_id"], "", best[2]["task_id"]]
    assert best[3]["value"] == pytest.approx((1 + best[3]["params"]["General/x"]) * 0.9**8)
    assert "the checkpoint is broken" in output and "from the beginning: it could not go on from task" in output
