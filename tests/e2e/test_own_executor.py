"""An executor of another package: found by its entry point, its options checked, a study run by it."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.long

EXAMPLE = ROOT / "examples" / "10_own_executor"
STUDY = EXAMPLE / "study.yaml"


@pytest.fixture
def installed(tmp_path):
    """The environment in which the example's package is installed, as pip would."""
    point = re.search(r'^hosts = "(.+)"$', (EXAMPLE / "pyproject.toml").read_text(), re.MULTILINE)[1]
    info = tmp_path / "site" / "hosts_executor-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hosts-executor\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[clearml_hpo.executors]\nhosts = {point}\n")
    return {"PYTHONPATH": os.pathsep.join([str(info.parent), str(EXAMPLE)])}


def test_a_study_runs_on_an_executor_of_ones_own(machine, server, installed, tmp_path):
    environ = {**server.address.environ(), **installed}
    command = json.dumps([sys.executable, "-m", "clearml_hpo", "worker", "--queue", "{queue}", "--cpu", "1"])
    overrides = ["--set", f"execution.options.command={command}", "--set", "budget.trials=4"]
    out = tmp_path / "out.json"
    code, output = machine.run("run", str(STUDY), *overrides, "--new", "--output", str(out), **environ)
    assert code == 0, output
    result = json.loads(out.read_text())
    assert f"{out}: written" in output
    assert [trial["state"] for trial in result["trials"]] == ["completed"] * 4
    assert {trial["queue"] for trial in result["trials"]} == {"hosts"}
    assert machine.left_running() == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "execution.executor=host",
            "execution.executor: no executor is called 'host'; did you mean 'hosts'? (there are: ",
        ),
        ("execution.options.hosts=[]", "execution.options.hosts: List should have at least 1 item"),
        ("execution.options.host=a", "execution.options.host: Extra inputs are not permitted; found 'a'"),
        ("execution.executor=local", "execution.options: executor 'local' takes none"),
    ],
)
def test_a_wrong_name_or_option_is_refused_with_its_line(machine, installed, override, said):
    code, output = machine.run("check", str(STUDY), "--set", override, **installed)
    assert code == 2, output
    assert said in " ".join(output.split()), output


def test_without_the_package_the_executor_is_unknown(machine):
    code, output = machine.run("check", str(STUDY))
    line = next(n for n, text in enumerate(STUDY.read_text().splitlines(), 1) if "executor: hosts" in text)
    said = " ".join(output.split())
    assert code == 2 and f"study.yaml:{line}: execution.executor: no executor is called 'hosts'" in said, output
    assert "entry-point group clearml_hpo.executors" in said
