"""``clearml-hpo run study.yaml --gateway``: what it prints is typed in, and runs its trials."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import requests

from clearml_hpo import RemoteStudy
from clearml_hpo.remote import RemoteError

pytestmark = [pytest.mark.embedded, pytest.mark.long]

STUDY = """\
study: served
project: tests
template: {outside: true}
search_space: {x: {type: float, low: 0.0, high: 1.0}}
objective: {metric: validation/loss, direction: minimize}
sampler: {name: random, seed: 1}
budget: {trials: 4}
execution: {queue: outside, poll_interval: 0.5}
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def served(machine, study, *options):
    """A run, and what it has printed of how to use it."""
    before = {*Path(tempfile.gettempdir()).glob("clearml-hpo-gateway-*")}
    process = machine.start("run", str(study), "--local", "--gateway", *options)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("  curl"):
            return process, "".join(lines), before
    raise AssertionError("".join(lines))


def end(process, before, code):
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in rest, rest
    assert {*Path(tempfile.gettempdir()).glob("clearml-hpo-gateway-*")} <= before, "its database is gone"
    return rest


def test_the_printed_worker_runs_the_study(machine, study, tmp_path):
    process, said, before = served(machine, study, "--output", str(tmp_path / "out.json"))
    token = re.search(r"export CLEARML_HPO_TOKEN=(gwt_\S+)", said)[1]
    curl = re.search(r"^ +(curl .*)$", said, re.MULTILINE)[1].replace("$CLEARML_HPO_TOKEN", token)
    (given,) = json.loads(subprocess.run(shlex.split(curl), capture_output=True, check=True, timeout=60).stdout)
    url = re.search(r"gateway, until the study ends: (\S+)", said)[1]
    requests.post(
        f"{url}/api/v1/trials/{given['trial']}:complete",
        json={"lease": given["lease"], "values": {"validation/loss": given["params"]["x"]}},
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    ).raise_for_status()
    with pytest.raises(RemoteError, match="no right to make a study"):
        RemoteStudy(url, "another", {"budget": {"trials": 1}}, token=token)

    worker = textwrap.dedent(re.search(r"^  from clearml_hpo.*?(?=^a trial by curl)", said, re.M | re.S)[0])
    code, output = machine.run(
        "-c", f"def train(x):\n    return x\n\n{worker}", command=[sys.executable], CLEARML_HPO_TOKEN=token
    )
    assert code == 0, output  # it hears that there are no more trials, before the gateway is gone
    rest = end(process, before, 0)
    assert token not in rest
    trials = json.loads((tmp_path / "out.json").read_text())["trials"]
    assert [(trial["number"], trial["state"]) for trial in trials] == [(n, "completed") for n in range(4)]
    assert [trial["value"] for trial in trials] == [trial["params"]["General/x"] for trial in trials]
    assert trials[0]["value"] == given["params"]["x"]
    machine.wait_until_nothing_runs()


def test_ctrl_c_ends_it_and_its_workers_hear_of_that(machine, study):
    process, said, before = served(machine, study, "--set", "study=interrupted")
    url = re.search(r"gateway, until the study ends: (\S+)", said)[1]
    trial = RemoteStudy(url, "interrupted", token=re.search(r"gwt_\S+", said)[0]).ask()
    assert trial.report(0, loss=0.5) is False
    process.send_signal(signal.SIGINT)
    while not trial.report(1, loss=0.5):
        pass
    assert trial.is_stopped
    rest = end(process, before, 130)
    assert "to go on: clearml-hpo resume" in rest
    code, output = machine.run("study", "trials", "interrupted", "--local", "--format", "json")
    assert code == 0, output
    (found,) = json.loads(output[output.index("[\n") :])
    assert found["state"] in ("aborted", "stopped"), found
    machine.wait_until_nothing_runs()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--agents", "1"], "--gateway hands trials out, --agents runs them here: give one of them"),
        (["--cpu", "1"], "queue: outside: its trials are handed out; take executor: queue"),
        (
            ["--set", "execution.queue=gpu"],
            "execution.queue=gpu: execution.queue: no trial goes to outside workers; add the queue",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(machine, study, options, fault):
    (study.parent / "train.py").write_text("from clearml import Task\nTask.init()\n")
    study.write_text(STUDY.replace("{outside: true}", "{script: train.py}"))
    code, output = machine.run("run", str(study), "--local", "--gateway", *options)
    assert code == 2 and fault in " ".join(output.split()), output
    assert machine.left_running() == []
