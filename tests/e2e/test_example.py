"""The example, by the command line: embedded server, real agents, CatBoost."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import time
from collections import Counter

import pytest

from clearml_hpo.backend.hyperparameters import flatten, user_properties
from clearml_hpo.server import process as server_process

from .conftest import COMMAND, ROOT

pytestmark = [pytest.mark.agent, pytest.mark.embedded]

STUDY = "examples/01_catboost_breast_cancer/study.yaml"
POLL_S = 2.0  # the default


@pytest.fixture(scope="module")
def finished(machine, tmp_path_factory):
    """Output and result of the example's run."""
    out = tmp_path_factory.mktemp("out") / "out.json"
    code, output = machine.run("run", STUDY, "--local", "--agents", "2", "--output", str(out))
    assert code == 0, output
    return output, json.loads(out.read_text())


@pytest.mark.long
def test_nothing_is_left_running(finished, machine):
    assert machine.left_running() == []


@pytest.mark.long
def test_twenty_trials_and_a_best_better_than_the_baseline(finished):
    output, result = finished
    trials = result["trials"]
    assert [trial["number"] for trial in trials] == list(range(20))
    assert {trial["state"] for trial in trials} <= {"completed", "pruned"}
    assert result["best"]["value"] < trials[0]["value"]
    assert result["best"]["value"] == min(t["value"] for t in trials if t["state"] == "completed")
    assert f"best: trial {result['best']['number']}" in output


@pytest.mark.long
def test_calls_grow_with_trials_and_steps_and_not_with_their_product(finished):
    _, result = finished
    calls, steps = result["api_calls"], result["wall_s"] / POLL_S
    assert calls["tasks.clone"] == calls["tasks.enqueue"] == 20
    assert sum(calls.values()) <= 6 * 20 + 3 * steps, calls


@pytest.mark.long
def test_every_trial_is_a_clone_on_the_server(finished, machine, monkeypatch):
    _, result = finished
    running = server_process.start(machine.home / "server", with_parent=True)
    try:
        for name, value in running.address.environ().items():
            monkeypatch.setenv(name, value)
        from clearml_hpo.backend.api import Api

        ids = [trial["task_id"] for trial in result["trials"]]
        tasks = {t["id"]: t for t in Api().call("tasks.get_all", id=ids, page=0, page_size=100)["tasks"]}
    finally:
        server_process.stop(machine.home / "server")
    for trial in result["trials"]:
        task = tasks[trial["task_id"]]
        assert task["parent"] == result["controller_task_id"]
        assert task["status"] == {"completed": "completed", "pruned": "stopped"}[trial["state"]]
        assert user_properties(task["hyperparams"])["trial"] == str(trial["number"])
        texts = flatten(task["hyperparams"])
        assert {name: texts[name] for name in trial["params"]} == {n: str(v) for n, v in trial["params"].items()}


def statuses(machine):
    """How many trainings and controllers there are of each status, as the server has them on its disk."""
    with contextlib.closing(sqlite3.connect(machine.home / "server" / "store.sqlite3")) as store:
        return Counter(store.execute("SELECT type, status FROM tasks"))


@pytest.mark.long
def test_two_ctrl_c_in_a_row_clean_up(machine, tmp_path):
    out = tmp_path / "out.json"
    process = machine.start("run", STUDY, "--local", "--agents", "1", "--new", "--output", str(out))
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(r"trial \d+ runs on", line):
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    seen += process.stdout
    assert process.wait(timeout=60) == 130, "".join(seen)
    assert "interrupted" in "".join(seen)
    assert json.loads(out.read_text())["trials"]
    assert machine.left_running() == []
    assert not [key for key in statuses(machine) if key[1] in ("in_progress", "queued")]


@pytest.mark.long
def test_a_terminal_that_is_closed_ends_a_run_as_ctrl_c_does(machine, tmp_path):
    out, (master, terminal) = tmp_path / "out.json", pty.openpty()
    command = (*COMMAND, "run", STUDY, "--local", "--cpu", "1", "--new", "--output", str(out))
    options = {"stdin": terminal, "stdout": terminal, "stderr": terminal, "start_new_session": True}
    options["preexec_fn"] = lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    process = subprocess.Popen(command, cwd=ROOT, env=machine.environ, **options)
    os.close(terminal)
    shown = b""
    while b"running" not in shown:
        shown += os.read(master, 4096)
    os.close(master)  # from here on whatever is printed fails
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 130
    assert json.loads(out.read_text())["status"] == "stopped"
    assert machine.left_running() == []
    assert not [key for key in statuses(machine) if key[1] in ("in_progress", "queued")]


@pytest.mark.long
@pytest.mark.parametrize("by", [("--agents", "1"), ("--cpu", "1")])
def test_a_killed_run_takes_its_server_and_workers_along_and_goes_on_when_asked(machine, tmp_path, by):
    few = ("--set", "budget.trials=4")
    process = machine.start("run", STUDY, "--local", *by, "--new", *few)
    for line in process.stdout:
        if "trial 1 runs" in line:
            break
    process.kill()
    process.wait()
    machine.wait_until_nothing_runs()
    out = tmp_path / "out.json"
    process = machine.start("run", STUDY, "--local", *by, *few, "--output", str(out))
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    result = json.loads(out.read_text())
    states = {trial["number"]: trial["state"] for trial in result["trials"]}
    assert list(states) == [0, 1, 2, 3] and set(states.values()) <= {"completed", "pruned"}, output
    assert result["trials"][0]["attempt"] == 1, "what had ended is not run again"
    assert machine.left_running() == []


@pytest.mark.long
def test_two_runs_share_a_server_and_the_first_to_end_does_not_take_it_along(machine, tmp_path):
    outs = [tmp_path / "a.json", tmp_path / "b.json"]
    runs = [
        machine.start(
            "run", STUDY, "--local", "--agents", "1", "--new", "--set", f"budget.trials={trials}", "--output", str(out)
        )
        for out, trials in zip(outs, (1, 3), strict=True)
    ]
    for process in runs:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert [len(json.loads(out.read_text())["trials"]) for out in outs] == [1, 3]
    assert machine.left_running() == []
