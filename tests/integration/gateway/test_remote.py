"""The client's part for tokens, events and results from elsewhere, over a gateway that serves."""

from __future__ import annotations

import ast
import csv
import io
import threading

import pytest

from clearml_hpo import RemoteStudy, remote
from clearml_hpo.core.errors import GatewayError
from clearml_hpo.remote import RemoteError, RemoteTokens
from clearml_hpo.testing.executor_contract import eventually
from tests.integration.gateway.test_v1 import FILE, loss

WHOLE = {**FILE, "budget": {"trials": 120}}


def test_results_from_elsewhere_and_what_a_study_says_of_itself(gateway):
    study = RemoteStudy(gateway.url, "remote", WHOLE, project="physics", token=gateway.token())
    given = [{"params": {"x": x / 110, "Args/kind": "ab"[x % 2]}, "values": {"loss": x}} for x in range(110)]
    assert study.add(given) == [*range(110)], "in two requests"
    assert study.best()["number"] == 0
    (shares,) = study.importances()
    assert set(shares) == {"x", "Args/kind"} and shares["x"] > shares["Args/kind"]
    rows = [*csv.DictReader(io.StringIO(study.csv()))]
    assert [float(row["valid/loss"]) for row in rows] == [*map(float, range(110))]
    with pytest.raises(RemoteError, match=r"the budget leaves room for 10 more trials, found 100") as refused:
        study.add(given)
    assert refused.value.status == 409


def test_changes_go_on_over_a_cut_and_end_with_the_study(gateway, monkeypatch):
    study = RemoteStudy(gateway.url, "changes", FILE, project="physics", token=gateway.token())
    found, events, cuts = [], remote._Http.events, []

    def cut(self, path, after):
        for number, change in enumerate(events(self, path, after)):
            yield change
            if number == 1 and len(cuts) < 2:
                cuts.append(after)
                return

    monkeypatch.setattr(remote._Http, "events", cut)
    follower = threading.Thread(target=lambda: found.extend(study.changes()), daemon=True)
    follower.start()
    for trial in study.trials():
        trial.complete(loss=loss(trial))
    follower.join(60)
    assert not follower.is_alive() and len(cuts) == 2 and cuts[1]
    assert found[-1].kind == "ended" and "budget of 5 trials" in found[-1].data["reason"]
    last = {change.data["number"]: change.data["state"] for change in found[:-1]}
    assert last == dict.fromkeys(range(5), "completed")
    assert [change.kind for change in study.changes(after=found[-2].id)] == ["ended"]


def test_tokens_and_the_audit(gateway):
    owner = RemoteTokens(gateway.url, gateway.token("owner"))
    made = owner.make("batch jobs", kind="hopaas", valid_s=86_400)
    assert made["token"].startswith("gwh_") and made["expires"] - made["created"] == pytest.approx(86_400)
    other = owner.make("watcher", ["viewer", "tokens:self"])
    watcher = RemoteTokens(gateway.url, other["token"])
    assert watcher.get()["id"] == other["id"]
    with pytest.raises(RemoteError, match="this one lacks") as refused:
        watcher.make("worker")
    assert refused.value.status == 422
    new = watcher.rotate(overlap_s=0)
    assert RemoteTokens(gateway.url, new["token"]).get()["rotated_from"] == other["id"]
    assert owner.revoke(made["id"])["revoked_at"] and owner.revoke(made["id"])["revoked_at"]
    assert {row["id"] for row in owner.listed(of="project")} >= {made["id"], other["id"], new["id"]}
    assert [act["what"] for act in owner.audit()][:2] == ["token revoked", "token rotated"]
    with pytest.raises(RemoteError, match="no such token"):
        owner.get("a" * 12)


def test_a_gateway_that_is_busy_is_asked_again(gateway, monkeypatch):
    own, tokens = RemoteTokens(gateway.url, gateway.token("owner")), gateway.tokens
    waits, create = [], tokens.create
    monkeypatch.setattr(remote.time, "sleep", waits.append)

    def busy(*given, **more):
        if len(waits) < 2:
            raise GatewayError("the database is away")
        return create(*given, **more)

    monkeypatch.setattr(tokens, "create", busy)
    assert own.make("t")["token"]
    assert len(waits) == 2 and all(1 < each <= 5 for each in waits), "as Retry-After says"


def test_a_stream_of_a_token_that_counts_no_more_ends_with_an_error(gateway):
    text = gateway.token("worker")
    study = RemoteStudy(gateway.url, "revoked", FILE, project="physics", token=text)
    changes, study_trial = study.changes(), study.ask()
    assert next(changes).data["number"] == study_trial.number
    gateway.tokens.revoke(text.split("_")[1], by="ann")
    with pytest.raises(RemoteError) as refused:
        list(changes)
    assert refused.value.status == 401
    eventually(lambda: gateway.streams._open.total() == 0, "its place is free")


def test_the_client_needs_no_newer_python_than_it_says():
    ast.parse(remote.__loader__.get_data(remote.__file__), feature_version=(3, 8))
