"""Notifications of real studies, on the embedded server with played agents and receivers on loopback."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading

import pytest

from clearml_hpo.backend.names import find_project
from clearml_hpo.core.errors import InputError, StudyError
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent
from tests.receivers import HttpReceiver, eventually

from .conftest import CONNECTS, quadratic
from .driving import Listener, resume, run

CANARY = "Canary-7d0c5a12"


@pytest.fixture
def notify(study_file, monkeypatch):
    """Has the study tell a receiver."""

    def added(receiver, events="", more="", path=f"/services/{CANARY}?token={CANARY}"):
        monkeypatch.setenv("HOOK_URL", f"{receiver.url}{path}")
        block = f"notify:\n  webhook: {{url_env: HOOK_URL}}\n{events and f'  events: {events}'}\n{more}\n"
        study_file.write_text(f"{study_file.read_text()}\n{block}")

    return added


def test_a_new_best_and_the_end_are_told(study_file, api, agent, notify):
    with HttpReceiver() as receiver:
        notify(receiver, "[ended, failed, best]")
        outcome = run(study_file, api)
        told = {message["event"]: message for message in receiver.received}
    assert [*told] == ["best", "ended"] and receiver.events[0] == "best" and receiver.events[-1] == "ended"
    end = told["ended"]
    study_id = outcome.result["study_id"]
    assert (end["status"], end["reason"]) == ("completed", outcome.reason)
    assert (end["study"], end["study_id"], end["url"]) == ("quadratic", study_id, outcome.url)
    assert end["trials"] == {"completed": 6}
    assert end["best"]["trial"] == outcome.best.number
    assert end["best"]["values"] == {"validation/loss": outcome.best.value}
    assert end["best"]["parameters"] == dict(outcome.best.params)
    # The first value is told at once; what follows within the minute is one message, with the best of them.
    assert len(receiver.of("best")) <= 2
    assert receiver.of("best")[-1]["best"] == end["best"]


def test_a_study_that_goes_on_tells_no_best_again(study_file, api, queue, notify):
    losses = iter([0.5, 0.6, 0.7, 0.6, 0.7, 0.3, 0.4])

    def training(params):
        yield {"validation/loss": next(losses)}

    with HttpReceiver() as receiver, PlayedAgent(training, queue=queue, connects=CONNECTS):
        notify(receiver, "[ended, best]")

        def news(drive, *of, **options):
            before = len(receiver.received)
            outcome = drive(*of, api, **options)
            told = [(m["event"], m["best"]["values"]["validation/loss"]) for m in receiver.received[before:]]
            return outcome, told

        first, told = news(run, study_file, overrides=("budget.trials=3",))
        assert told == [("best", 0.5), ("ended", 0.5)]
        study_id = first.result["study_id"]
        assert news(run, study_file, overrides=("budget.trials=3",))[1] == [], "it is finished"
        assert news(resume, study_id)[1] == []
        assert news(resume, study_id, overrides=("budget.trials=5",))[1] == [("ended", 0.5)]
        assert news(resume, study_id, overrides=("budget.trials=7",))[1] == [("best", 0.3), ("ended", 0.3)]


def test_failures_in_a_row_and_the_failed_study_are_told(study_file, api, queue, notify):
    ran = []

    def fails(params):
        ran.append(params)
        if len(ran) > 1:
            raise RuntimeError("no data")
        yield from quadratic(params)

    study_file.write_text(study_file.read_text() + "failures: {stop_after: 4}\n")
    with HttpReceiver() as receiver, PlayedAgent(fails, queue=queue, connects=CONNECTS):
        notify(receiver, "[ended, failed, failures: 2]")
        assert run(study_file, api).status == "failed"
    assert receiver.events == ["failures", "failed"]
    failures, end = receiver.received
    assert failures["in_a_row"] == 2 and failures["reason"] == "no data"
    assert end["status"] == "failed" and "have failed" in end["reason"]
    assert end["trials"]["failed"] == 4


def test_a_study_that_an_error_ends_is_told(study_file, api, queue, notify):
    def fails(params):
        raise RuntimeError("no data")
        yield

    with HttpReceiver() as receiver, PlayedAgent(fails, queue=queue, connects=CONNECTS):
        notify(receiver)
        with pytest.raises(StudyError, match="no data"):
            run(study_file, api)
    assert receiver.events == ["failed"] and "no data" in receiver.received[0]["reason"]


def test_a_study_without_workers_is_told(study_file, api, queue, notify):
    stopped = threading.Event()
    with HttpReceiver() as receiver:
        notify(receiver, "[ended, no_worker: 0.2]")
        driven = threading.Thread(target=lambda: run(study_file, api, stopped=stopped))
        driven.start()
        try:
            eventually(lambda: receiver.of("no_worker"), "nobody serves the queue")
        finally:
            stopped.set()
            driven.join(60)
        assert not driven.is_alive()
    assert receiver.events == ["no_worker", "ended"] and queue in receiver.received[0]["text"]
    assert receiver.received[1]["status"] == "stopped"


@pytest.mark.parametrize("status", [0, 500], ids=["hangs", "answers 500"])
def test_a_receiver_in_trouble_delays_no_study_and_no_secret_is_told(
    study_file, api, agent, notify, monkeypatch, caplog, status
):
    """One that hangs does so until the test ends, and the study has ended by then."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SMTP_PASSWORD", CANARY)
    monkeypatch.setattr("clearml_hpo.notify.notifier._END_S", 0.5)
    monkeypatch.setattr("clearml_hpo.notify.sender._WAITS_S", (0.01, 0.01))
    more = "  email: {to: a@b.c, host: 127.0.0.1, port: 9, user: me, password_env: SMTP_PASSWORD}"
    view = Listener()
    with HttpReceiver(status) as receiver:
        notify(receiver, "[ended, best]", more)
        outcome = run(study_file, api, view=view)
    assert outcome.status == "completed" and len(outcome.trials) == 6
    assert receiver.received, "it was tried"
    in_trouble = sorted(str(text) for text in view.notes if "notifications by" in text)
    assert in_trouble == [
        "notifications by email do not arrive: the server cannot be reached (ConnectionRefusedError)",
        f"notifications by webhook do not arrive: {'it answered 500' if status else 'no answer in time'}",
    ]

    # Nothing secret is anywhere: notes, logs, the outcome, tasks, consoles.
    tasks = api.call("tasks.get_all", project=[_project(api, outcome)], search_hidden=True, page=0, page_size=100)
    records = json.dumps([api.call("tasks.get_by_id", task=task["id"]) for task in tasks["tasks"]])
    consoles = json.dumps([api.call("events.get_task_log", task=task["id"]) for task in tasks["tasks"]])
    assert "HOOK_URL" in records, "the study file is on record"
    assert "notifications by email do not arrive" in consoles
    for text in (*map(str, view.notes), caplog.text, json.dumps(outcome.result), records, consoles):
        assert CANARY not in text


def _project(api, outcome):
    return api.call("tasks.get_by_id", task=outcome.result["study_id"])["task"]["project"]


def test_the_records_of_the_server_have_no_secret(study_file, api, agent, notify, server):
    with HttpReceiver() as receiver:
        notify(receiver)
        run(study_file, api)
    assert receiver.events == ["ended"]
    if not hasattr(server, "data_dir"):
        pytest.skip("another server's files cannot be read")
    found = subprocess.run(["grep", "-rlaF", CANARY, str(server.data_dir)], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")
    named = subprocess.run(["grep", "-rlaF", "HOOK_URL", str(server.data_dir)], capture_output=True, text=True)
    assert named.returncode == 0, "its study file is there"


@pytest.mark.long
def test_a_missing_variable_is_an_error_before_anything_starts(study_file, server_environ, api, queue):
    with study_file.open("a") as file:
        file.write("notify: {slack: {url_env: SLACK_URL}}\n")
    line = len(study_file.read_text().splitlines())
    said = f"{study_file}:{line}: notify.slack.url_env: the environment has no variable SLACK_URL"
    environ = {name: text for name, text in server_environ.items() if name != "SLACK_URL"}

    def hpo(*words):
        command = [sys.executable, "-m", "clearml_hpo", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environ)
        return done.returncode, done.stderr + done.stdout

    for command in ("check", "run"):
        code, output = hpo(command, str(study_file))
        assert code == 2 and f"error: {said}" in output, output
    assert find_project(api, load_study(study_file).spec.project) is None, "nothing has begun"
    code, output = hpo("launch", str(study_file), "--queue", queue, "--format", "json")
    assert code == 0, "the agent that drives it has the variable"
    study_id = json.loads(output[output.index("{") :])["study_id"]
    code, output = hpo("study", "show", study_id)
    assert code == 0, "who only looks needs no secret"
    code, output = hpo("resume", study_id)
    assert code == 2 and "the environment has no variable SLACK_URL" in output


SCRIPT = """
import json, os, pathlib
from clearml import Task

Task.force_store_standalone_script()
task = Task.init("tests", "names", auto_connect_frameworks=False)
params = task.connect({{"x": 0.5, "depth": 3, "kind": "a"}})
task.get_logger().report_scalar("validation", "loss", params["x"], 1)
pathlib.Path({path!r}).write_text(json.dumps([*os.environ]))
"""


@pytest.mark.long
@pytest.mark.embedded
def test_trials_do_not_inherit_the_secrets(study_file, server_environ, notify, tmp_path):
    with HttpReceiver() as receiver:
        notify(receiver)
        (study_file.parent / "train.py").write_text(SCRIPT.format(path=str(tmp_path / "names.json")))
        command = [
            sys.executable,
            "-m",
            "clearml_hpo",
            "run",
            str(study_file),
            "--cpu",
            "1",
            "--set",
            "budget.trials=2",
        ]
        environ = {**server_environ, "HOOK_URL": os.environ["HOOK_URL"], "CLEARML_HPO_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, capture_output=True, text=True, env={**environ, "OTHER_URL": "x"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert receiver.events == ["ended"] and CANARY not in done.stdout + done.stderr
    names = json.loads((tmp_path / "names.json").read_text())
    assert "OTHER_URL" in names and "HOOK_URL" not in names


def test_opening_by_id_needs_the_variable(study_file, api, agent, notify, monkeypatch):
    with HttpReceiver() as receiver:
        notify(receiver)
        outcome = run(study_file, api)
    monkeypatch.delenv("HOOK_URL")
    with pytest.raises(InputError, match="no variable HOOK_URL"):
        resume(outcome.result["study_id"], api)
