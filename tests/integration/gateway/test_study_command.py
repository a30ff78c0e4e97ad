"""`clearml-hpo gateway study list`: what the gateway has, and whether somebody works on it."""

from __future__ import annotations

import json

import pytest

from clearml_hpo.gateway import state
from clearml_hpo.gateway.db import accounts, handouts, outbox, studies
from tests.integration.gateway.test_token_command import home, run  # noqa: F401 (a fixture)


@pytest.fixture
def opened():
    run("token", "new", "first")  # makes the database
    found = state.database()
    found.open()
    yield found
    found.close()


def make(connection, name, project="vision"):
    where = accounts.ensure_project(connection, project)
    row, _ = studies.get_or_create(connection, where.id, f"suid {name}", name=name, set_up="", file="", lease_s=60.0)
    return row


def listed(*more):
    return {row["name"]: row for row in json.loads(run("study", "list", "--format", "json", *more))}


def test_each_study_is_listed_with_what_is_under_way(opened):
    assert listed() == {}
    with opened.write() as connection:
        idle, out, unwritten = (make(connection, name) for name in ("idle", "out", "unwritten"))
        make(connection, "other", project="speech")
        where = accounts.ensure_project(connection, "vision")
        studies.add(connection, where.id, "suid driven", name="driven", file="", controller="c" * 32, lease_s=60.0)
        handouts.give(connection, out.id, 0, 1, task="t", token="", lease_s=60.0, worker={})
        outbox.put(connection, unwritten.id, "t", "scalars", {})
        closed = make(connection, "closed")
        studies.set_state(connection, closed.id, studies.CLOSED)
    found = listed()
    assert {name: (row["state"], row["trials"], row["outbox"]) for name, row in found.items()} == {
        "idle": ("idle", 0, 0),
        "out": ("under way", 1, 0),
        "unwritten": ("under way", 0, 1),
        "other": ("idle", 0, 0),
        "driven": ("driven", 0, 0),
        "closed": ("closed", 0, 0),
    }
    assert found["idle"]["id"] == idle.id and found["driven"]["controller"] == "c" * 32
    assert {*listed("--project", "speech")} == {"other"}
    table = run("study", "list")
    assert "under way" in table and "speech" in table and "cccccccc" in table


def test_a_project_that_it_does_not_have(opened):
    said = run("study", "list", "--project", "visoin", fails=True)
    assert "--project: the gateway has no project 'visoin'" in said
