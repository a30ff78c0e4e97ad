"""A host: a study whose trials are handed out, on the real server, with threads as outside workers."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
import yaml

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.gateway.db import accounts, handouts, outbox, studies
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.gateway.db.handouts import State
from clearml_hpo.gateway.handing import UnknownTrial, is_to_stop
from clearml_hpo.gateway.host import Host, NothingToGive
from clearml_hpo.gateway.writing import END, Writing
from clearml_hpo.studies.study import Study
from clearml_hpo.study_file import parse_study

STUDY = """\
study: {name}
project: {project}
template: {{outside: true}}
search_space:
  x: {{type: float, low: 0.0, high: 1.0}}
  kind: {{type: categorical, choices: [a, b]}}
  fixed: 7
objective: {{metric: valid/loss, direction: minimize}}
sampler: {{name: tpe, seed: 3}}
budget: {{trials: 6}}
failures: {{lost: 1}}
execution: {{queue: outside, poll_interval: 0.2}}
"""
ASK = {"token": "t", "lease_s": 600.0, "wait_s": 30.0}
LEASE = {"lease_s": 600.0}


@pytest.fixture
def api(server, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    return Api()


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}")
    database.open()
    yield database
    database.close()


@pytest.fixture
def made(api, database):
    """Makes a host of one study, again and again; those that a test leaves are stopped."""
    name, hosts = f"outside {uuid.uuid4().hex[:8]}", []
    text = STUDY.format(name=name, project=f"tests/{uuid.uuid4().hex[:8]}")

    def make(**changes):
        given = yaml.safe_load(text)
        given.update(changes)
        with database.write() as connection:
            project = accounts.ensure_project(connection, "p").id
            row, _ = studies.get_or_create(connection, project, "suid", name=name, set_up="", file="", lease_s=600.0)
        host = Host(row, parse_study(yaml.safe_dump(given), "study"), database, notes.append)
        hosts.append(host)
        host.start()
        return host

    notes: list[str] = []
    make.notes = notes
    yield make
    for host in hosts:
        host.stop()
        host.join()


def eventually(happened, what, found=str):
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until, f"did not happen: {what}; {found()}"
        time.sleep(0.02)


def loss(params, step):
    return (params["General/x"] - 0.3) ** 2 + 1.0 / step


def train(host, given):
    for step in range(1, 4):
        if is_to_stop(host.handing.report(given.wire, step, {"valid/loss": loss(given.params, step)}, **LEASE)):
            return
    host.handing.tell(given.wire, {"valid/loss": loss(given.params, 4)})


def best_value(host):
    best = host.reading.best
    return None if best is None else best.value


def test_a_study_from_its_first_ask_to_its_budget(made, api):
    host = made()
    seen = []
    while True:
        try:
            given = host.ask(**ASK, worker={"host": "node7"})
        except NothingToGive as end:
            assert "6 trials" in str(end)
            break
        seen.append(given)
        train(host, given)
    assert [given.wire for given in seen] == list(range(6))
    host.join()
    assert host.outcome.status == "completed", made.notes
    rows = Study.load(host.study.controller).trials
    assert [row.state for row in rows] == [TrialState.COMPLETED] * 6
    told = {given.number: loss(given.params, 4) for given in seen}
    assert {row.number: row.value for row in rows} == pytest.approx(told)
    assert host.reading.best.number == min(told, key=told.get)
    task = api.call("tasks.get_by_id", task=seen[0].task)["task"]
    properties = {name: entry["value"] for name, entry in task["hyperparams"]["properties"].items()}
    assert (properties["worker_host"], properties["token"]) == ("node7", "t")
    assert task["hyperparams"]["General"]["fixed"]["value"] == "7"
    curve = api.call("events.scalar_metrics_iter_histogram", task=seen[0].task)["valid"]["loss"]
    assert curve["x"] == [1, 2, 3, 4]


def test_an_answer_is_given_again_and_what_ended_stays_ended(made):
    host = made(pruner={"name": "threshold", "options": {"upper": 5.0}})
    given = host.ask(**ASK)
    assert not is_to_stop(host.handing.report(given.wire, 1, {"valid/loss": 1.0}, **LEASE))
    assert not is_to_stop(host.handing.report(given.wire, 1, {"valid/loss": 9.0}, **LEASE)), "the first report counts"
    assert is_to_stop(host.handing.report(given.wire, 2, {"valid/loss": 9.0}, **LEASE))
    assert is_to_stop(host.handing.report(given.wire, 2, {"valid/loss": 9.0}, **LEASE))
    assert is_to_stop(host.handing.report(given.wire, 3, {"valid/loss": 1.0}, **LEASE))
    assert host.handing.tell(given.wire, {"valid/loss": 0.1}).state is State.PRUNED
    other = host.ask(**ASK)
    assert other.wire == 1
    assert host.handing.fail(other.wire, "out of disk").state is State.FAILED
    assert not is_to_stop(host.handing.report(other.wire, 1, {"valid/loss": 9.0}, **LEASE))
    eventually(
        lambda: [trial.state for trial in host.trials[:2]] == [TrialState.PRUNED, TrialState.FAILED],
        "both have ended",
        lambda: host.trials,
    )
    assert host.trials[0].reason == "pruned at iteration 2"
    assert host.trials[1].reason.startswith("out of disk")
    with pytest.raises(UnknownTrial):
        host.handing.tell(17, {"valid/loss": 1.0})


def test_nan_is_no_value(made):
    host = made()
    given = host.ask(**ASK)
    host.handing.report(given.wire, 1, {"valid/loss": 0.5}, **LEASE)
    host.handing.report(given.wire, 2, {"valid/loss": float("nan")}, **LEASE)
    host.handing.tell(given.wire, {"valid/loss": float("nan")})
    eventually(lambda: host.trials and host.trials[0].state is TrialState.NOT_FINITE, "it ends", lambda: host.trials)
    assert host.reading.best is None


def test_a_lost_trial_is_tried_again_and_its_late_result_counts_only_without_that(made, database):
    host = made()
    first, second = host.ask(**{**ASK, "lease_s": 0.1}), host.ask(**ASK)

    def is_over():  # the next attempt may wait already
        return host.trials and (host.trials[0].state is TrialState.LOST or host.trials[0].attempt == 2)

    eventually(is_over, "the lease is over", lambda: host.trials)
    assert host.handing.handed_out()[0].state is State.LOST
    given = [host.ask(**ASK) for _ in range(3)]  # one may have been ready
    again = next(each for each in given if each.number == first.number)
    assert (again.attempt, again.wire) == (2, 1_000_000)
    assert host.handing.tell(first.wire, {"valid/loss": 0.0}).state is State.LOST
    host.handing.tell(again.wire, {"valid/loss": 0.5})
    host.handing.tell(second.wire, {"valid/loss": 0.7})
    eventually(lambda: best_value(host) == 0.5, "the new attempt counts", lambda: host.trials)


def test_a_late_result_counts_where_nothing_has_taken_its_place(made):
    host = made(failures={"lost": 0})
    given = host.ask(**{**ASK, "lease_s": 0.1})
    eventually(lambda: host.trials and host.trials[0].state is TrialState.LOST, "it is lost", lambda: host.trials)
    assert is_to_stop(host.handing.report(given.wire, 1, {"valid/loss": 1.0}, **LEASE))
    assert host.handing.tell(given.wire, {"valid/loss": 0.25}).state is State.LATE
    host.note("waiting")
    eventually(lambda: host.reading.best is not None, "it is completed", lambda: host.trials)
    assert host.reading.best.value == 0.25


def test_a_user_ends_a_trial_in_clearml_or_here(made, api):
    host = made()
    first, second = host.ask(**ASK), host.ask(**ASK)
    eventually(lambda: [trial.state for trial in host.trials[:2]] == [TrialState.RUNNING] * 2, "both run")
    api.call("tasks.stopped", task=first.task, status_reason="no use")
    host.handing.declare_failed(second.wire, "it looks wrong")
    assert is_to_stop(host.handing.report(second.wire, 1, {"valid/loss": 1.0}, **LEASE))
    eventually(
        lambda: is_to_stop(host.handing.report(first.wire, 1, {"valid/loss": 1.0}, **LEASE)), "its worker hears of it"
    )
    assert [handout.state for handout in host.handing.handed_out()] == [State.STOPPED] * 2


def test_a_host_goes_on_where_the_one_before_was_stopped(made, api):
    host = made()
    done, running = host.ask(**ASK), host.ask(**ASK)
    host.handing.tell(done.wire, {"valid/loss": 0.5})
    host.handing.report(running.wire, 1, {"valid/loss": 0.4}, **LEASE)
    host.stop()
    host.join()
    with pytest.raises(NothingToGive):
        host.ask(**ASK)
    host.handing.tell(running.wire, {"valid/loss": 0.1})  # the database takes it all the same
    successor = made()
    new = successor.ask(**ASK)
    assert new.number == 2
    eventually(lambda: len(successor.trials) == 3, "all are there")
    assert [trial.state for trial in successor.trials[:2]] == [TrialState.COMPLETED] * 2
    assert successor.reading.best.value == 0.1
    successor.handing.tell(new.wire, {"valid/loss": 0.3})


def test_clearml_is_away_for_a_while(made, api, monkeypatch):
    host = made()
    given, away = host.ask(**ASK), threading.Event()
    send = Api._send_once

    def broken(self, endpoint, *request):
        if away.is_set():
            raise ApiError(endpoint, 503, 0, "away")
        return send(self, endpoint, *request)

    monkeypatch.setattr(Api, "_send_once", broken)
    away.set()
    assert not is_to_stop(host.handing.report(given.wire, 1, {"valid/loss": 0.5}, **LEASE))
    assert host.handing.tell(given.wire, {"valid/loss": 0.25}).state is State.DONE
    time.sleep(1.5)
    away.clear()
    eventually(lambda: best_value(host) == 0.25, "it is told", lambda: host.trials)


def test_many_workers_and_no_number_twice(made):
    host, seen, lock = made(budget={"trials": 40}), [], threading.Lock()

    def work():
        while True:
            try:
                given = host.ask(**ASK)
            except NothingToGive:
                return
            with lock:
                seen.append(given.wire)
            train(host, given)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(seen) == list(range(40))
    host.join()
    assert host.outcome.status == "completed"
    assert {handout.state for handout in host.handing.handed_out()} == {State.DONE}
    assert handouts.from_wire(1_000_003) == (3, 2)


@pytest.mark.parametrize(("is_there", "how"), [(True, "completed"), (True, "failed"), (False, "completed")])
def test_an_end_that_clearml_refuses_is_said_and_not_tried_for_ever(api, database, is_there, how):
    project = ensure_project(api, f"tests/{uuid.uuid4().hex[:8]}")
    task = api.call("tasks.create", name="reset by a user", type="training", project=project)["id"]
    if not is_there:
        api.call("tasks.delete", task=task)
    notes = []
    with database.write() as connection:
        outbox.put(connection, "study", task, END, {"how": how})
    Writing(api, database, "study", "queue", notes.append).flush()
    assert notes == [f"task {task} is not {how}, as its worker said: a user has reset, ended or deleted it"]
    with database.read() as connection:
        assert outbox.backlog(connection).count == 0
