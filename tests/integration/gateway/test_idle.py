"""Studies for which nobody asks: what waits is given up, the study is closed, and goes on at the next ask."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from clearml_hpo import RemoteStudy
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.study_records import read_study
from clearml_hpo.dashboard.studies import listed
from clearml_hpo.gateway.db import accounts, studies
from clearml_hpo.gateway.host import Host
from clearml_hpo.gateway.idling import IDLE_S
from clearml_hpo.study_file import parse_study
from clearml_hpo.testing.executor_contract import eventually
from tests.integration.gateway.test_v1 import FILE

MIXED = """\
study: mixed
project: tests
template: {{task: 0123456789abcdef0123456789abcdef}}
search_space: {{x: {{type: float, low: 0.0, high: 1.0}}}}
objective: {{metric: valid/loss, direction: minimize}}
budget: {{trials: 6}}
execution: {{queue: {queues}}}
"""
WHOLE = {**FILE, "budget": {"trials": 30}, "duplicates": "skip"}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(gateway):
    gateway.hosting._clock = made = Clock()
    return made


@pytest.fixture
def study(gateway, clock):
    return RemoteStudy(gateway.url, "idle", WHOLE, project="physics", token=gateway.token())


def shown(gateway, study):
    return gateway.call("GET", f"/studies/{study.id}", gateway.token())[1]


def table(gateway, study):
    _, page = gateway.call("GET", f"/studies/{study.id}/trials", gateway.token())
    return [(row["number"], row["state"]) for row in page["trials"]]


def ready(gateway, study, count, clock):
    """Has so many trials wait although nobody asks: two workers have asked, and gone."""
    executor = gateway.hosting.open_host(study.id)._executor
    executor._ahead = lambda: count if clock.now < 1000 + IDLE_S else 0
    gateway.hosting.open_host(study.id)._bell.ring()
    eventually(lambda: len(executor._ready) == count, "they are ready")


def test_a_study_is_closed_and_its_memory_is_given_back_and_the_next_ask_goes_on(gateway, study, clock):
    study.ask().complete(loss=0.5)
    eventually(lambda: table(gateway, study)[0] == (0, "completed"), "it has ended")
    ready(gateway, study, 3, clock)
    tasks = [trial.task_id for trial in gateway.hosting.open_host(study.id).trials[1:]]
    host = weakref.ref(gateway.hosting.open_host(study.id))

    clock.now += IDLE_S - 1
    gateway.hosting.tend()
    assert len(table(gateway, study)) == 4, "not yet"
    clock.now += 2
    gateway.hosting.tend()
    eventually(lambda: not host()._executor.has_ready, "what waits is given up")
    eventually(lambda: gateway.hosting.tend() or gateway.hosting.open_host(study.id) is None, "it is closed")
    said = shown(gateway, study)
    assert (said["idle"], said["ended"], said["trials"]) == (True, "", {"completed": 1})
    assert said["best"]["values"] == [0.5]
    eventually(lambda: gateway.hosting.tend() or not gateway.hosting._closing, "all is written")
    eventually(lambda: gc.collect() and host() is None, "its memory is given back")

    record = read_study(Api(), said["controller"])
    assert record.status == "stopped" and record.reason.startswith("idle: nobody has asked for 10 min")
    assert listed([record], {}, 0.0)[0].state == "idle"
    found = Api().call("tasks.get_all", id=tasks, search_hidden=True)["tasks"]
    assert found == [], "nobody has seen these trials"

    trial = study.ask()
    assert trial.number == 1 and not shown(gateway, study)["idle"]
    trial.complete(loss=0.25)
    eventually(lambda: table(gateway, study)[:2] == [(0, "completed"), (1, "completed")], "it goes on")
    assert read_study(Api(), said["controller"]).status == "in_progress"


def test_a_study_is_open_while_a_trial_is_out_and_somebody_waits(gateway, study, clock):
    trial = study.ask()
    clock.now += 2 * IDLE_S
    gateway.hosting.tend()
    assert gateway.hosting.open_host(study.id) is not None, "a trial is out"
    trial.complete(loss=0.5)
    eventually(lambda: table(gateway, study)[0] == (0, "completed"), "it has ended")
    host = gateway.hosting.open_host(study.id)
    with host._idling.used():
        clock.now += 2 * IDLE_S
        gateway.hosting.tend()
        assert gateway.hosting.open_host(study.id) is host, "somebody waits"
    gateway.hosting.tend()
    assert gateway.hosting.open_host(study.id) is host, "until just now"


def test_what_is_read_of_an_idle_study_is_all_that_there_is(gateway, study, clock):
    study.ask().complete(loss=0.5)
    eventually(lambda: table(gateway, study)[0] == (0, "completed"), "it has ended")
    clock.now += 2 * IDLE_S
    eventually(lambda: gateway.hosting.tend() or gateway.hosting.open_host(study.id) is None, "it is closed")
    assert table(gateway, study) == [(0, "completed")], "it is opened for that"
    assert study.best()["number"] == 0


def test_an_ask_at_the_very_moment_of_closing_gets_a_trial(gateway, study, clock):
    study.ask().complete(loss=0.5)
    eventually(lambda: table(gateway, study)[0] == (0, "completed"), "it has ended")
    host = gateway.hosting.open_host(study.id)
    clock.now += 2 * IDLE_S
    eventually(host.tend, "it lets go")
    given = []
    asked = [threading.Thread(target=lambda: given.append(study.ask())) for _ in range(3)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(60)
    assert sorted(trial.number for trial in given) == [1, 2, 3]
    assert gateway.hosting.open_host(study.id) is not host


def test_a_study_that_has_ended_is_let_go_and_says_so(gateway, clock):
    file = {**FILE, "budget": {"trials": 1}}
    study = RemoteStudy(gateway.url, "over", file, project="physics", token=gateway.token())
    study.ask().complete(loss=0.5)
    eventually(lambda: gateway.hosting.open_host(study.id).outcome is not None, "it has ended")
    clock.now += 2 * IDLE_S
    eventually(lambda: gateway.hosting.tend() or gateway.hosting.open_host(study.id) is None, "it is let go")
    said = shown(gateway, study)
    assert said["idle"] and said["ended"] == "the budget of 1 trials is used up" and said["trials"] == {"completed": 1}
    assert study.ask() is None
    assert list(study.changes())[-1].kind == "ended"


@pytest.mark.parametrize(("queues", "is_idle"), [("outside", True), ("[gpu, outside]", False)])
def test_a_study_that_agents_may_run_is_not_idle(gateway, clock, queues, is_idle):
    with gateway.database.write() as connection:
        project = accounts.ensure_project(connection, "physics").id
        row, _ = studies.get_or_create(connection, project, "s", name="s", set_up="", file="", lease_s=600.0)
    text = MIXED.format(queues=queues)
    host = Host(row, parse_study(text, "study"), gateway.database, gateway.notes.append, clock=clock)
    assert host._is_outside_alone == is_idle
