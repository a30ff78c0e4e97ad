"""ClearML's own ``AutoScaler`` starts agents for the pilots of a study, and ends them when it is over."""

from __future__ import annotations

import json
import re
import sys

import pytest

from clearml_hpo.testing import executor_contract
from clearml_hpo.testing.executor_contract import eventually
from tests import place
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.long, pytest.mark.agent, pytest.mark.embedded]

_EACH_LOOK = re.compile(r"Found \d+ tasks|Idle for")
EXAMPLE = ROOT / "examples" / "09_autoscaler"


class Log:
    """What the scaler has printed."""

    def __init__(self, path):
        self.path = path

    def text(self):
        return self.path.read_text() if self.path.exists() else ""

    def events(self):
        """Without what it prints at each look."""
        return "\n".join(line for line in self.text().splitlines() if not _EACH_LOOK.search(line))

    def agents(self, words):
        return set(re.findall(rf"{words}:? '?([\w-]+)", self.text()))


@pytest.fixture
def scaler(machine, server, sdk_environ, tmp_path):
    """The example's scaler for a queue; its output goes to a file."""
    queue, log = place.queue("autoscaled"), Log(tmp_path / "scaler.log")
    words = ["--queue", queue, "--most", "2", "--period", "0.5"]
    shell = ["/bin/sh", "-c", f'exec "$@" > {log.path} 2>&1', "sh"]
    command = [*shell, sys.executable, str(EXAMPLE / "local_autoscaler.py")]
    process = machine.start(*words, command=command, **sdk_environ, **server.address.environ())
    eventually(lambda: "Found 0 tasks in queue" in log.text(), "it looks at the queue", log.events)
    yield queue, log
    process.terminate()
    assert process.wait(60) == 0, log.events()
    assert "ending all agents" in log.text() and machine.left_running() == []


def test_agents_come_for_pilots_and_go(machine, server, scaler, tmp_path, monkeypatch):
    queue, log = scaler
    out = tmp_path / "out.json"
    overrides = ["--set", f"execution.queue={queue}", "--set", "budget.trials=4"]
    study = str(EXAMPLE / "study.yaml")
    code, output = machine.run("run", study, *overrides, "--new", "--output", str(out), **server.address.environ())
    assert code == 0, f"{output}\n{log.events()}"
    trials = json.loads(out.read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["completed"] * 4
    assert all(":pilot-" in trial["worker"] for trial in trials)
    started = log.agents("New instance ID")
    assert len(started) == 2

    monkeypatch.setattr(executor_contract, "DEADLINE_S", 240)  # they are idle for a minute first
    ended = "Spin down instance cloud id"
    eventually(lambda: log.agents(ended) == started, "agents that are idle end", log.events)
    call = place.Calls(server.address)
    eventually(
        lambda: not [each for each in call("workers.get_all")["workers"] if each["id"].startswith("autoscaled:")],
        "no agent is among the workers",
    )
