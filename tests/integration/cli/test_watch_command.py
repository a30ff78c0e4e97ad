"""``clearml-hpo watch``: a study seen from anywhere."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter

import pytest

from clearml_hpo.backend.lease import Lease
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.studies.study import Study
from clearml_hpo.studies.watching import Watch
from tests.integration.controller.recorded import RecordedStudy


@pytest.fixture
def recorded(api, queue):
    """Two trials that have ended, one that runs, one that waits; no controller drives the study."""
    recorded = RecordedStudy(api, queue, name=f"watched-{uuid.uuid4().hex[:8]}")
    recorded.trial(0, loss=0.5, state="completed", x=0.9)
    recorded.trial(1, "failed", state="failed", reason="CUDA out of memory")
    recorded.running = recorded.trial(2, "in_progress", loss=0.125)
    recorded.trial(3, "queued")
    recorded.api.call("tasks.started", task=recorded.study_id)
    return recorded


def drive(recorded):
    Lease(recorded.api, recorded.study_id).acquire()


def finish(recorded, status="completed", reason="the budget of 4 trials is used up"):
    recorded.tasks.mark(recorded.study_id, holder="")
    recorded.api.call(
        f"tasks.{status}", task=recorded.study_id, force=True, status_reason=reason, status_message=reason
    )


def test_a_look_shows_what_a_controller_sees(api, recorded):
    drive(recorded)
    watch = Watch(Study.load(recorded.study_id), api)
    look = watch.look()
    progress = look.progress
    assert [trial.state.value for trial in progress.trials] == ["completed", "failed", "running", "queued"]
    assert (progress.budget, progress.is_driven, look.is_over, look.changed) == (10, True, False, ())
    api.call("tasks.completed", task=recorded.running, force=True)
    recorded.tasks.mark(recorded.running, state="completed")
    (changed,) = watch.look().changed
    assert (changed.number, changed.state, changed.value) == (2, TrialState.COMPLETED, 0.125)


def test_workers_of_the_queue_are_counted(api, recorded, queue):
    api.call("workers.register", worker="node:gpu0", queues=[recorded.queue_id], timeout=600)
    assert Watch(Study.load(recorded.study_id), api).look().progress.queues == {queue: 1}


def test_a_look_costs_two_calls_whatever_the_number_of_trials(api, recorded):
    watch = Watch(Study.load(recorded.study_id), api)
    watch.look()
    for trials in (0, 20):
        for number in range(10, 10 + trials):
            recorded.trial(number, loss=1.0, state="completed")
        before = Counter(api.calls)
        study_calls = Counter(watch.study._api.calls)
        watch.look()
        assert api.calls - before == Counter()
        assert watch.study._api.calls - study_calls == {"tasks.get_all": 2}


def test_once(command, recorded):
    code, output = command("watch", recorded.name, "--project", recorded.project, "--once")
    assert code == 0 and all(len(line) <= 80 for line in output.splitlines())
    for text in ("2/10 trials", "no controller drives the study", "ended 1 completed, 1 failed", "CUDA out of memory"):
        assert text in output


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 1), ("stopped", 130)])
def test_a_study_that_is_over_is_said_as_run_says_it(command, recorded, status, code):
    recorded.api.call("tasks.completed", task=recorded.running, force=True)
    recorded.tasks.mark(recorded.running, state="completed")
    finish(recorded, status)
    found, output = command("watch", recorded.study_id)
    assert found == code
    assert f"{status}: the budget of 4 trials is used up" in output
    assert "best: trial 2, validation/loss = 0.125" in output and "General/x: 0.25" in output


def test_it_follows_until_the_end(command, recorded):
    """Says who drives the study, when nobody does any more, what ends, and ends with it."""
    drive(recorded)

    def go_on():
        time.sleep(1.5)
        recorded.tasks.mark(recorded.study_id, holder="")
        time.sleep(1.5)
        recorded.api.call("tasks.completed", task=recorded.running, force=True)
        recorded.tasks.mark(recorded.running, state="completed")
        time.sleep(1.5)
        finish(recorded)

    thread = threading.Thread(target=go_on)
    thread.start()
    code, output = command("watch", recorded.study_id, "--interval", "0.2", columns=200)
    thread.join()
    assert code == 0, output
    pieces = [
        f"study {recorded.name}: http",
        "driven by ",
        f"no controller drives it; to go on: clearml-hpo resume {recorded.study_id}",
        "trial 2 completed, validation/loss 0.125 (best so far)",
        "completed: the budget of 4 trials is used up",
    ]
    assert [piece for piece in pieces if piece in output] == pieces, output
    places = [output.index(piece) for piece in pieces]
    assert places == sorted(places)


def test_a_server_in_trouble_is_asked_again(command, recorded, monkeypatch):
    finish(recorded)
    look, failures = Watch.look, [ApiError("tasks.get_all", 503, 0, "no answer"), None]

    def troubled(self):
        if failures and (error := failures.pop(0)):
            raise error
        return look(self)

    monkeypatch.setattr(Watch, "look", troubled)
    code, output = command("watch", recorded.study_id, "--interval", "0.1", columns=200)
    assert code == 0 and "no answer" in output and "asking again" in output


def test_one_whose_controller_was_given_up_by_the_server_is_not_over(api, recorded):
    reason = "stopped as non-responsive"
    finish(recorded, "stopped", reason)
    look = Watch(Study.load(recorded.study_id), api).look()
    assert not look.is_over and not look.progress.is_driven


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no-such-study",), "no study 'no-such-study' on the server"),
        (("x", "--interval", "soon"), "'soon' is no duration"),
        (("x", "--interval", "0"), "0 s is no time to wait"),
        (("x", "--project", "no/such"), "no/such"),
    ],
)
def test_bad_input(command, recorded, arguments, said):
    code, output = command("watch", *arguments)
    assert code == 2 and said in output


def test_lines_for_programs(command, recorded):
    _, output = command("watch", recorded.study_id, "--once", "--json")
    looked = json.loads(output)
    assert looked["trials"] == {"completed": 1, "failed": 1, "running": 1, "queued": 1}
    assert (looked["best_trial"], looked["best_value"], looked["is_driven"]) == (0, 0.5, False)
    finish(recorded)
    code, output = command("watch", recorded.study_id, "--json")
    lines = [json.loads(line) for line in output.splitlines()]
    assert code == 0 and lines[0]["note"].startswith(f"study {recorded.name}")
    assert lines[-1]["status"] == "completed" and lines[-1]["reason"] == "the budget of 4 trials is used up"


def test_ctrl_c_leaves_the_study_alone(command, recorded, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("clearml_hpo.cli.watch.time.sleep", interrupt)
    code, output = command("watch", recorded.study_id)
    assert code == 130 and "the study goes on" in output
    assert recorded.status_of(recorded.study_id) == recorded.status_of(recorded.running) == "in_progress"
