"""Trials that ended elsewhere, added over the native API, on the real server."""

from __future__ import annotations

import pytest

from clearml_hpo import RemoteStudy
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.imported import Finished, end_as
from clearml_hpo.core.errors import StudyError
from clearml_hpo.gateway.db import audit
from clearml_hpo.scheduler import Import
from clearml_hpo.studies.study import Study
from clearml_hpo.testing.executor_contract import eventually
from tests.integration.gateway.test_v1 import FILE, loss

WHOLE = {**FILE, "budget": {"trials": 12}, "failures": {"failed": 2}, "sampler": {"name": "tpe", "seed": 1}}


@pytest.fixture
def study(gateway):
    return RemoteStudy(gateway.url, "imported", WHOLE, project="physics", token=gateway.token())


def point(x, kind="a"):
    return {"x": x, "Args/kind": kind}


def add(gateway, study, *trials, token=None, key=""):
    return gateway.call("POST", f"/studies/{study.id}/trials", token or gateway.token(), key=key, trials=[*trials])


def table(gateway, study):
    _, page = gateway.call("GET", f"/studies/{study.id}/trials", gateway.token())
    return [(row["number"], row["state"], row["values"], row["params"]) for row in page["trials"]]


GIVEN = (
    {"params": point(0.25), "values": {"loss": 0.5, "train/loss": 0.4}, "step": 7},
    {"params": point(1), "values": {"valid/loss": 0.9}, "state": "pruned", "step": 2},
    {"params": point(0.75, "b"), "state": "failed", "reason": "out of memory"},
)
ROWS = [
    (0, "completed", [0.5], point(0.25)),
    (1, "pruned", [0.9], point(1.0)),
    (2, "failed", [None], point(0.75, "b")),
]


def test_trials_that_ended_elsewhere_are_trials_like_all_others(gateway, study):
    assert add(gateway, study, *GIVEN) == (201, {"numbers": [0, 1, 2]})
    assert table(gateway, study) == ROWS
    assert study.best()["number"] == 0
    trial = study.ask()
    assert trial.number == 3, "what failed elsewhere is not run again"
    trial.complete(loss=0.1)

    api, (_, shown) = Api(), gateway.call("GET", f"/studies/{study.id}", gateway.token())
    rows = Study.load(shown["controller"]).trials
    tasks = [api.call("tasks.get_by_id", task=row.task_id)["task"] for row in rows[:3]]
    assert [task["status"] for task in tasks] == ["completed", "stopped", "failed"]
    assert [task["status_reason"] for task in tasks[1:]] == ["pruned elsewhere", "out of memory"]
    curve = api.call("events.scalar_metrics_iter_histogram", task=rows[0].task_id)
    assert (curve["valid"]["loss"]["x"], curve["train"]["loss"]["y"]) == ([7], pytest.approx([0.4]))
    assert tasks[0]["hyperparams"]["Args"]["kind"]["value"] == "a"
    assert tasks[0]["hyperparams"]["General"]["epochs"]["value"] == "3", "the constants are the study's"
    with gateway.database.read() as connection:
        (line,) = [act for act in audit.last(connection) if act.what == "trials imported"]
    assert line.target == f"{study.id}: 3 trials from 0 on"


def test_the_sampler_learns_from_them(gateway):
    names = ("cold", "warm")
    cold, warm = (RemoteStudy(gateway.url, name, WHOLE, project="physics", token=gateway.token()) for name in names)
    known = [{"params": point(x / 10), "values": {"loss": (x / 10 - 0.3) ** 2}} for x in range(11)]
    assert add(gateway, warm, *known)[0] == 201
    first = {study.name: study.ask().params["x"] for study in (cold, warm)}
    learner = gateway.hosting.open_host(warm.id)._run.scheduler._context.study.optuna_study
    assert [trial.value for trial in learner.trials[:11]] == pytest.approx([given["values"]["loss"] for given in known])
    assert abs(first["warm"] - 0.3) < 0.25, first


def test_the_same_key_adds_them_once_also_over_a_restart(gateway, study):
    token = gateway.token()
    first = add(gateway, study, *GIVEN, token=token, key="k1")
    assert add(gateway, study, *GIVEN, token=token, key="k1") == first == (201, {"numbers": [0, 1, 2]})
    status, problem = add(gateway, study, GIVEN[0], token=token, key="k1")
    assert status == 422 and "Idempotency-Key: it was used with another request" in problem["detail"]
    with gateway.database.write() as connection:  # as if the gateway had died before it kept the answer
        connection.exec_driver_sql("DELETE FROM idempotency")
    gateway.reopen(study.id)
    assert add(gateway, study, *GIVEN, token=token, key="k1") == first
    assert table(gateway, study) == ROWS
    assert add(gateway, study, *GIVEN, token=gateway.token(), key="k1")[1] == {"numbers": [3, 4, 5]}, "another token"


@pytest.mark.parametrize("after", ["tasks.clone", "tasks.started", "events", "tasks.completed"])
def test_a_gateway_that_dies_in_between_loses_none_and_adds_none_twice(gateway, study, monkeypatch, after):
    study.ask().complete(loss=0.2)
    eventually(lambda: table(gateway, study)[0][1] == "completed", "the first has ended")
    gateway.reopen(study.id)  # what was ready is taken back
    eventually(lambda: table(gateway, study), "it is open again")
    host, (call, send), seen = gateway.hosting.open_host(study.id), (Api.call, Api.send_events), []
    given = Import("import_x_0", {"General/x": 0.25, "Args/kind": "a"}, Finished("completed", {"valid/loss": 0.5}))

    def dies(what, do):
        if seen == [after]:
            seen.append("dead")
            raise StudyError("the gateway has died")
        answer = do()
        if not seen and what == after:
            seen.append(after)
        return answer

    eventually(lambda: host._run is not None and host._run.scheduler is not None, "the study is open")
    number = len(table(gateway, study))
    with monkeypatch.context() as patched:
        patched.setattr(Api, "call", lambda self, what, **body: dies(what, lambda: call(self, what, **body)))
        patched.setattr(Api, "send_events", lambda self, events: dies("events", lambda: send(self, events)))
        host._run.scheduler.imports.add([given])
        host._bell.ring()
        eventually(lambda: not host._driving.is_alive(), "it has died")
    assert seen == [after, "dead"]
    row = (number, "completed", [0.5], point(0.25))
    eventually(lambda: table(gateway, study)[number:] == [row], "it is there", lambda: table(gateway, study))
    host = gateway.hosting.open_host(study.id)
    eventually(lambda: host._run is not None and host._run.scheduler is not None, "the study is open")
    assert host._run.scheduler.imports.add([given]).result(20) == [number]


def test_all_or_none_and_what_is_wrong_is_named(gateway, study):
    for wrong, detail in (
        ({"params": point(1.5), "values": {"loss": 1}}, "trials.1.params.x: found 1.5; allowed: "),
        (
            {"params": {"x": 0.5}, "values": {"loss": 1}},
            "trials.1.params: found General/x; a whole point is needed",
        ),
        ({"params": {**point(0.5), "y": 1}, "values": {"loss": 1}}, "trials.1.params.y: no parameter that varies"),
        (
            {"params": point(0.5), "values": {"los": 1}},
            "trials.1.values: found trial/los; a completed trial needs valid/loss",
        ),
        ({"params": point(0.5)}, "trials.1.values: found none; a completed trial needs valid/loss"),
        ({"params": point(0.5), "values": {"loss": 1}, "state": "running"}, "body.trials.1.state"),
        ({"params": point(0.5), "values": {"loss": 1}, "step": -1}, "body.trials.1.step"),
    ):
        status, problem = add(gateway, study, GIVEN[0], wrong)
        assert status == 422 and detail in problem["detail"], problem
    assert gateway.call("POST", f"/studies/{study.id}/trials", gateway.token(), trials=[GIVEN[0]] * 101)[0] == 422
    assert table(gateway, study) == []


def test_they_count_in_the_budget_of_trials(gateway, study):
    status, problem = add(gateway, study, *[{"params": point(x / 20), "values": {"loss": 1}} for x in range(13)])
    assert (status, problem["detail"]) == (
        409,
        "the budget leaves room for 12 more trials, found 13; extend it first: clearml-hpo study extend",
    )
    assert add(gateway, study, *[{"params": point(x / 20), "values": {"loss": 1}} for x in range(11)])[0] == 201
    told = [trial.complete(loss=loss(trial)) for trial in study.trials()]
    assert len(told) == 1
    status, problem = add(gateway, study, GIVEN[0])
    assert status == 409 and "the budget of 12 trials is used up" in problem["detail"]


def test_rights_and_other_projects(gateway, study):
    assert add(gateway, study, GIVEN[0], token=gateway.token("viewer"))[0] == 403
    assert add(gateway, study, GIVEN[0], token=gateway.token("owner", project="chemistry"))[0] == 404
    gateway.call("PATCH", f"/studies/{study.id}", gateway.token("owner"), state="closed")
    assert add(gateway, study, GIVEN[0])[1]["detail"] == "the study is closed"


@pytest.mark.parametrize("state", ["completed", "pruned", "failed"])
def test_a_task_that_has_ended_so_is_left_alone(gateway, state):
    """The answer to its end was lost, so that all is done once more."""
    api, finished = Api(), Finished(state, {"valid/loss": 0.5}, 3, "told")
    task = api.call("tasks.create", name="imported", type="training")["id"]
    fields = ["status", "started", "completed", "status_reason", "status_changed", "last_metrics", "last_iteration"]

    def seen():
        (found,) = api.call("tasks.get_all", id=[task], only_fields=fields)["tasks"]
        return found

    end_as(api, task, finished)
    before = seen()
    assert before["status"] == {"pruned": "stopped"}.get(state, state) and before["status_reason"] == "told"
    end_as(api, task, finished)
    assert seen() == before
