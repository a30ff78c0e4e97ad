"""``clearml-hpo trial``, ``open`` and ``completion`` as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid

import pytest

from tests.integration.controller.recorded import RecordedStudy


@pytest.fixture
def recorded(api, queue):
    """A study of a trial that was run twice and one that runs."""
    recorded = RecordedStudy(api, queue, name=f"study-{uuid.uuid4().hex[:8]}")
    recorded.first = recorded.trial(0, "failed", state="failed", reason="CUDA out of memory")
    recorded.second = recorded.trial(0, loss=0.25, attempt=2, state="completed", x=0.3)
    recorded.runs = recorded.trial(1, "in_progress", loss=0.125)
    return recorded


def says(recorded, task_id, *lines):
    now = int(time.time() * 1000)
    events = [
        {"type": "log", "task": task_id, "msg": f"{line}\n", "timestamp": now + n} for n, line in enumerate(lines)
    ]
    recorded.api.send_events(events)


def test_show(command, recorded):
    code, output = command("trial", "show", recorded.name, "0")
    facts = dict(line.split(maxsplit=1) for line in output.splitlines())
    assert code == 0
    assert (facts["attempt"], facts["state"], facts["validation/loss"]) == ("2", "completed", "0.25")
    assert (facts["params.General/x"], facts["task_id"]) == ("0.3", recorded.second)
    assert "reason" not in facts


def test_an_earlier_attempt_for_a_program(command, recorded):
    code, output = command("trial", "show", recorded.study_id, "0", "--attempt", "1", "--format", "json")
    facts = json.loads(output)
    assert code == 0
    assert (facts["task_id"], facts["state"], facts["reason"]) == (recorded.first, "failed", "CUDA out of memory")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["9"], "has no trial 9; they are 0 to 1"),
        (["0", "--attempt", "3"], "has no attempt 3; there are: 1, 2"),
        (["x"], "'x' is not a valid integer"),
    ],
)
@pytest.mark.parametrize("action", ["show", "logs"])
def test_a_trial_that_is_not_there(command, recorded, action, arguments, said):
    code, output = command("trial", action, recorded.name, *arguments)
    assert code == 2 and said in output


def test_logs(command, recorded):
    says(recorded, recorded.first, "epoch 1", "out of memory")
    says(recorded, recorded.second, "epoch 1", "epoch 2")
    assert command("trial", "logs", recorded.name, "0") == (0, "epoch 1\nepoch 2\n")
    assert command("trial", "logs", recorded.name, "0", "--attempt", "1")[1] == "epoch 1\nout of memory\n"
    assert command("trial", "logs", recorded.name, "0", "--follow") == (0, "epoch 1\nepoch 2\n"), "it has ended"


def test_logs_of_a_trial_that_runs_are_followed_to_its_end(recorded, server_environ):
    says(recorded, recorded.runs, "epoch 1")
    arguments = ["trial", "logs", recorded.name, "1", "--follow"]
    follow = subprocess.Popen(
        [sys.executable, "-u", "-m", "clearml_hpo", *arguments],
        env={**os.environ, **server_environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follow.stdout.readline() == "epoch 1\n"
    says(recorded, recorded.runs, "epoch 2")
    assert follow.stdout.readline() == "epoch 2\n"
    says(recorded, recorded.runs, "epoch 3")
    recorded.api.call("tasks.completed", task=recorded.runs, force=True)
    assert follow.communicate(timeout=60)[0] == "epoch 3\n"
    assert follow.returncode == 0


@pytest.mark.parametrize("has_browser", [True, False])
def test_open(command, recorded, tmp_path, monkeypatch, has_browser):
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if has_browser:
        monkeypatch.setenv("BROWSER", str(browser))
    code, output = command("open", recorded.name)
    assert code == 0 and recorded.study_id in output
    assert (seen.read_text() if seen.exists() else None) == (output if has_browser else None)


def test_open_what_is_not_there(command, recorded):
    code, output = command("open", f"{recorded.name}x")
    assert code == 2 and f"did you mean '{recorded.name}'?" in output
    assert command("open")[1] == f"{recorded.api.web}\n"


def completed(words, environ):
    line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_CLEARML_HPO_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", "from clearml_hpo.cli import main; main(prog_name='clearml-hpo')"],
        env={**environ, **line},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.split()]


def test_a_shell_completes_commands_options_and_studies(recorded, server_environ):
    assert completed(["clearml-hpo", "camp"], server_environ) == ["campaign"]
    assert completed(["clearml-hpo", "study", "list", "--pro"], server_environ) == ["--project"]
    assert completed(["clearml-hpo", "study", "show", recorded.name[:10]], server_environ) == [recorded.name]
    nowhere = {**server_environ, "CLEARML_API_HOST": "http://127.0.0.1:9"}
    assert completed(["clearml-hpo", "study", "show", recorded.name[:10]], nowhere) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_reads(command, shell):
    code, output = command("completion", shell)
    assert code == 0 and f"_CLEARML_HPO_COMPLETE={shell}_complete" in output
