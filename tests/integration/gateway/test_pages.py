"""Studies in the pages: who sees and steers them, and the trials that outside workers have."""

from __future__ import annotations

import uuid

import pytest

from clearml_hpo import RemoteStudy
from clearml_hpo.dashboard import reading
from clearml_hpo.gateway.db import accounts, audit, studies
from clearml_hpo.gateway.db.accounts import Role
from tests.dashboards import eventually
from tests.integration.controller.conftest import api, queue
from tests.integration.controller.recorded import RecordedStudy
from tests.pages import PagesGateway

__all__ = ["api", "queue"]

FILE = {
    "search_space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "objective": {"metric": "valid/loss", "direction": "minimize"},
    "sampler": {"name": "random", "seed": 1},
    "budget": {"trials": 5},
    "execution": {"poll_interval": 0.2},
}


@pytest.fixture
def gateway(api, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "REFRESH_S", 0.2)
    monkeypatch.setattr(reading, "_LIST_S", 0.0)
    made = PagesGateway(tmp_path)
    yield made
    made.close()


@pytest.fixture
def physics(gateway):
    return gateway.project("physics", olga=Role.OWNER, mia=Role.MEMBER, vic=Role.VIEWER)


@pytest.fixture
def study(gateway, physics):
    """A study of the gateway's, of which one worker has a trial with two reports."""
    made = RemoteStudy(
        gateway.url, f"bowl-{uuid.uuid4().hex[:6]}", FILE, project="physics", token=gateway.token(physics), worker="w7"
    )
    made.trial = next(made.trials())
    for step, loss in enumerate((0.75, 0.25)):
        made.trial.report(step, **{"valid/loss": loss})
    with gateway.database.read() as connection:
        made.controller = eventually(lambda: studies.by_id(connection, made.id).controller)
    return made


def order(visitor, study, name, **form):
    return visitor.post(f"/studies/{study}/orders/{name}", form, accept="application/json", **same_site(visitor))


def declare(visitor, study, wire):
    return visitor.post(f"/studies/{study}/outside/{wire}/failed", accept="application/json", **same_site(visitor))


def same_site(visitor):
    return {"origin": visitor.url, "sec-fetch-site": "same-origin"}


@pytest.mark.parametrize(("name", "sees"), [("root", True), ("olga", True), ("vic", True), ("eve", False)])
def test_only_those_with_a_role_see_a_study(gateway, study, name, sees):
    gateway.project("other", eve=Role.OWNER)
    visitor = gateway.visitor(name)
    assert (study.name in visitor.get("/studies").text) == sees
    page = visitor.get(f"/studies/{study.controller}")
    assert (page.status_code, study.name in page.text) == ((200, True) if sees else (404, False))
    for path in ("changes", "outside", "trials.csv", "trials/0/log", "notes", "line", "figures/history-0"):
        answer = visitor.get(f"/studies/{study.controller}/{path}", accept="application/json")
        assert (answer.status_code == 200) == sees, (path, answer.text)
    if not sees:
        assert order(visitor, study.controller, "stop").status_code == 400
        unknown = visitor.get(f"/studies/{'0' * 32}", accept="application/json")
        mine = visitor.get(f"/studies/{study.controller}", accept="application/json")
        assert mine.json()["told"].replace(study.controller, "") == unknown.json()["told"].replace("0" * 32, "")


def test_no_study_is_found_by_its_name_or_a_part_of_its_id(gateway, study):
    visitor = gateway.visitor("olga")
    assert visitor.get(f"/studies/{study.controller}").status_code == 200
    for name in (study.name, study.controller[:12]):
        assert visitor.get(f"/studies/{name}").status_code == 404


def test_studies_that_agents_run_are_seen_by_their_clearml_project(gateway, api, queue):
    recorded = RecordedStudy(api, queue, name=f"agents-{uuid.uuid4().hex[:6]}")
    with gateway.database.write() as connection:
        project = accounts.ensure_project(connection, "agents", recorded.project)
        accounts.set_role(connection, project.id, accounts.ensure_user(connection, "test", "ann").id, Role.VIEWER)
    assert recorded.name in gateway.visitor("ann").get("/studies").text
    assert recorded.name not in gateway.visitor("bob").get("/studies").text
    assert gateway.visitor("ann").json(f"/studies/{recorded.study_id}/outside") == {"trials": []}


def test_a_study_of_the_gateway_is_its_projects_alone(gateway, study, physics):
    """Another project of the gateway sends its studies to the same ClearML project."""
    with gateway.database.write() as connection:
        twin = accounts.ensure_project(connection, "twin", physics.clearml_project)
        accounts.set_role(connection, twin.id, accounts.ensure_user(connection, "test", "tim").id, Role.OWNER)
    visitor = gateway.visitor("tim")
    assert study.name not in visitor.get("/studies").text
    assert visitor.get(f"/studies/{study.controller}").status_code == 404


def test_a_role_that_is_taken_away_counts_at_once(gateway, study, physics):
    visitor = gateway.visitor("olga")
    assert visitor.get(f"/studies/{study.controller}").status_code == 200
    with gateway.database.write() as connection:
        accounts.set_role(connection, physics.id, gateway_user(connection, "olga"), None)
    assert visitor.get(f"/studies/{study.controller}").status_code == 404


def gateway_user(connection, name):
    return accounts.ensure_user(connection, "test", name).id


@pytest.mark.parametrize("name", ["vic", "mia"])
def test_only_owners_steer(gateway, study, name):
    visitor = gateway.visitor(name)
    for answer in (order(visitor, study.controller, "stop"), declare(visitor, study.controller, 0)):
        assert answer.status_code == 403 and "owners" in answer.json()["told"]
    assert not study.trial.report(2, **{"valid/loss": 0.2})


def test_an_owner_extends_a_study(gateway, study):
    answer = order(gateway.visitor("olga"), study.controller, "extend", trials="7")
    assert answer.status_code == 200, answer.text


def test_no_study_is_launched_from_these_pages(gateway, study):
    visitor = gateway.visitor()
    assert "/launch" not in visitor.get(f"/studies/{study.controller}").text
    assert visitor.get(f"/studies/{study.controller}/launch").status_code == 404
    for path in ("/launch", "/check"):
        assert visitor.post(path, {"text": "study: a"}).status_code in (404, 405)


def test_the_trials_that_outside_workers_have(gateway, study):
    (shown,) = gateway.visitor("mia").json(f"/studies/{study.controller}/outside")["trials"]
    assert (shown["wire"], shown["number"], shown["attempt"]) == (0, 0, 1)
    assert (shown["worker"], shown["steps"], shown["last"]) == ("w7", 2, {"valid/loss": 0.25})
    row = gateway.visitor("mia").json(f"/studies/{study.controller}/changes")["rows"][0]
    assert [*row["params"].values()] == [*study.trial.params.values()]
    assert shown["host"] and 0 <= shown["silent_s"] < 60
    with gateway.database.read() as connection:
        row = studies.by_id(connection, study.id)
    assert 0 < shown["until"] - row.created <= row.lease_s + 60


def test_the_most_silent_one_is_first(gateway, study):
    second = study.ask()
    visitor = gateway.visitor("mia")

    def order_() -> list[int]:
        return [each["number"] for each in visitor.json(f"/studies/{study.controller}/outside")["trials"]]

    second.report(0, **{"valid/loss": 0.5})
    assert order_() == [0, 1]
    study.trial.report(2, **{"valid/loss": 0.2})
    assert order_() == [1, 0]


def test_viewers_do_not_learn_who_runs_trials(gateway, study):
    (shown,) = gateway.visitor("vic").json(f"/studies/{study.controller}/outside")["trials"]
    assert (shown["worker"], shown["host"], shown["steps"]) == ("", "", 2)


def test_declare_failed(gateway, study):
    visitor = gateway.visitor("olga")
    answer = declare(visitor, study.controller, 0)
    assert answer.status_code == 200, answer.text
    assert visitor.json(f"/studies/{study.controller}/outside") == {"trials": []}
    assert study.trial.report(2, **{"valid/loss": 0.1}), "its worker is told to stop"
    with gateway.database.read() as connection:
        acts = [(act.what, act.user, act.target) for act in audit.last(connection)]
    assert ("trial declared failed", gateway.user("olga"), f"{study.id}.0") in acts

    def first() -> dict:
        rows = {row["number"]: row for row in visitor.json(f"/studies/{study.controller}/changes")["rows"]}
        return rows[0] if rows[0]["state"] not in ("queued", "running") else {}

    assert "declared failed by olga" in eventually(first)["reason"]
    for wire in (77, 10**12):
        assert declare(visitor, study.controller, wire).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/studies/{study}/changes?since=" + "9" * 5000,
        "/studies/{study}/changes?since=-1",
        "/studies/{study}/trials/" + "9" * 5000 + "/log",
        "/studies/{study}/trials/1 2/log",
        "/studies/{study}/trials/x/log",
        "/studies/{study}/compared?trials=" + "9" * 5000,
        "/studies/{study}/figures/%00",
        "/studies/%00",
        "/studies/a%2Fb",
        "/tokens/%00",
        "/static/%00",
        "/login?key=%00%ff",
    ],
)
def test_odd_paths_are_no_fault_of_the_gateways(gateway, study, path):
    assert gateway.visitor().get(path.format(study=study.controller)).status_code < 500


@pytest.mark.parametrize(
    "path",
    [
        *(f"/studies/{{study}}/outside/{wire}/failed" for wire in ("9" * 5000, "9" * 18, "-1", "x", "%00", "1%202")),
        "/studies/{study}/orders/%00",
        "/studies/{study}/orders/keep",
        "/tokens/%00/revoke",
        "/tokens/%ff/rotate",
        "/login",
        "/tokens",
    ],
)
def test_odd_orders_are_no_fault_of_the_gateways(gateway, study, path):
    visitor = gateway.visitor()
    for form in ({}, {"top": "9" * 5000, "key": "\0", "project": "\0", "days": "٣", "name": "\ud7ff"}):
        assert visitor.post(path.format(study=study.controller), form).status_code < 500
