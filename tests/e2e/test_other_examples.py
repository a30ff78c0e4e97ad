"""The other examples, as their READMEs say; each with fewer trials."""

from __future__ import annotations

import json
import re
import sys
import time

import pytest

pytestmark = [pytest.mark.embedded, pytest.mark.long]


def run_locally(machine, study, tmp_path, *overrides):
    out = tmp_path / "out.json"
    options = [word for override in overrides for word in ("--set", override)]
    code, output = machine.run("run", study, "--local", "--cpu", "2", "--output", str(out), *options)
    assert code == 0, output
    return json.loads(out.read_text())


def test_own_script(machine, tmp_path):
    result = run_locally(machine, "examples/05_own_script/study.yaml", tmp_path, "budget.trials=5")
    assert result["best"]["value"] > 0.8 and len(result["trials"]) == 5
    assert result["trials"][0]["params"] == {
        "Args/lr": 0.001,
        "Args/hidden": 16,
        "Args/activation": "relu",
        "Args/batch_size": 64,
    }


def test_several_objectives(machine, tmp_path):
    result = run_locally(machine, "examples/06_multi_objective/study.yaml", tmp_path, "budget.trials=6")
    assert all(len(trial["values"]) == 2 for trial in result["trials"])
    code, output = machine.run("study", "best", "small-and-good")
    assert code == 0 and "validation/logloss = " in output and "model/nodes = " in output


@pytest.mark.agent
def test_launch_by_clone(machine, sdk_environ, tmp_path):
    assert machine.run("server", "start")[0] == 0
    try:
        _, exports = machine.run("server", "env")
        environ = {**sdk_environ, **dict(re.findall(r"export (\w+)=['\"]?([^'\"\n]+)", exports))}
        for queue, name in (("services", ("--name", "services")), ("default", ())):
            code, output = machine.run("agents", "up", "--queue", queue, "--cpu", "1", *name, **environ)
            assert code == 0, output
        study = "examples/05_own_script/study.yaml"
        launch = ["launch", study, "--queue", "services", "--set", "budget.trials=2", "--new"]
        code, output = machine.run(*launch, "--output", str(tmp_path / "launch.json"), **environ)
        assert code == 0, output
        launched = json.loads((tmp_path / "launch.json").read_text())["study_id"]
        assert ended(machine, launched, tmp_path / "launched.json")["status"] == "completed"
        script = ["examples/07_launch_by_clone/launch_copy.py", launched, "budget.trials=3"]
        code, output = machine.run(*script, command=[sys.executable], **environ)
        assert code == 0, output
        copy = re.search(r"enqueued ([0-9a-f]{32})", output)[1]
        shown = ended(machine, copy, tmp_path / "copy.json")
        assert shown["status"] == "completed" and len(shown["trials"]) == 3
    finally:
        for name in ("services", "default"):
            machine.run("agents", "down", "--now", "--name", name)
        machine.run("server", "stop")


def ended(machine, study, file):
    until = time.monotonic() + 180
    while time.monotonic() < until:
        code, output = machine.run("study", "export", study, str(file))
        shown = json.loads(file.read_text()) if code == 0 else {"status": output}
        if shown["status"] in ("completed", "failed", "stopped"):
            return shown
        time.sleep(1)
    raise AssertionError(shown)
