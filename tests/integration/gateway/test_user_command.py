"""`clearml-hpo gateway user`: roles in projects, and who is locked out."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from clearml_hpo.gateway import state
from clearml_hpo.gateway.auth import Kind, Right, Rights, Tokens
from clearml_hpo.gateway.auth.sessions import Sessions
from clearml_hpo.gateway.db import accounts
from clearml_hpo.gateway.db.tables import audit
from tests.integration.gateway.test_token_command import home, run  # noqa: F401 (a fixture)

ISSUER = "https://iam.example.org"


@pytest.fixture
def opened():
    run("token", "new", "first")  # makes the database, the project and this user
    found = state.database()
    found.open()
    with found.write() as connection:
        accounts.ensure_user(connection, ISSUER, "ann", name="Ann [b]", email="ann@example.org")
    yield found
    found.close()


def listed():
    return {row["sub"]: row for row in json.loads(run("user", "list", "--format", "json"))}


def rights(opened, token):
    """What a token may do now, as a gateway finds that has not seen it before."""
    return Tokens(opened, state.pepper()).check(token, Kind.API).rights


def token_of(opened, name="ann", project="clearml-hpo-outside"):
    with opened.write() as connection:
        (user,) = accounts.find_users(connection, name)
        where = accounts.ensure_project(connection, project)
    made = Tokens(opened, state.pepper()).create(
        user.id, where.id, kind=Kind.API, name="t", rights=Rights.parse(["owner"])
    )
    return made.text.reveal()


def test_a_role_counts_for_the_users_tokens(opened):
    token = token_of(opened)
    assert not rights(opened, token).allow(Right.READ)
    for role, right, is_allowed in (
        ("viewer", Right.READ, True),
        ("viewer", Right.ASK, False),
        ("member", Right.ASK, True),
        ("member", Right.ADMIN, False),
        ("owner", Right.ADMIN, True),
        ("none", Right.READ, False),
    ):
        assert run("user", "role", "ann", role) == f"ann: {role} in clearml-hpo-outside\n"
        assert rights(opened, token).allow(right) == is_allowed
        assert listed()["ann"]["roles"] == ({} if role == "none" else {"clearml-hpo-outside": role})


def test_a_disabled_user_is_out_until_enabled(opened):
    run("user", "role", "ann", "member")
    token = token_of(opened)
    ann = listed()["ann"]["id"]
    session = Sessions(opened).begin_for(ann)
    assert Sessions(opened).find(session)
    for _ in range(2):
        assert json.loads(run("user", "disable", ann, "--format", "json")) == {"id": ann, "state": "disabled"}
    assert Sessions(opened).find(session) is None
    assert not rights(opened, token).allow(Right.READ)
    assert listed()["ann"]["disabled_at"] and listed()["ann"]["roles"] == {"clearml-hpo-outside": "member"}
    assert run("user", "enable", "ann") == "ann is enabled\n"
    assert listed()["ann"]["disabled_at"] is None
    assert rights(opened, token).allow(Right.ASK)
    assert Sessions(opened).find(session) is None, "a session that was ended stays so"
    with opened.read() as connection:
        acts = connection.execute(sa.select(audit.c.what, audit.c.target).where(audit.c.target.startswith(ann))).all()
    assert [what for what, _ in acts] == ["role set", "user disabled", "user enabled"], "once each"


def test_the_list_as_table_and_csv(opened):
    table = run("user", "list")
    assert "ann@example.org" in run("user", "list", "--format", "csv")
    assert "id" in table and listed()["ann"]["id"][:6] in table
    assert [row["is_admin"] for row in listed().values()].count(True) == 1


def test_an_id_tells_users_of_one_name_apart(opened):
    with opened.write() as connection:
        other = accounts.ensure_user(connection, "https://gitlab.example.org", "ann").id
    said = run("user", "role", "ann", "viewer", fails=True)
    assert "several users have this name" in said and other in said
    run("user", "role", other, "viewer")
    roles = {row["id"]: row["roles"] for row in json.loads(run("user", "list", "--format", "json"))}
    assert [found for found in roles.values() if found] == [roles[other]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("role", "nobody", "viewer"), "there is no user nobody; `clearml-hpo gateway user list` shows all"),
        (("disable", "nobody"), "there is no user nobody"),
        (("role", "ann", "viewer", "--project", "physics"), "found 'physics'; the gateway has: clearml-hpo-outside"),
        (("role", "ann", "ownr"), "did you mean 'owner'?"),
    ],
)
def test_mistakes_are_one_message(opened, arguments, message):
    assert message in run("user", *arguments, fails=True)


def test_an_administrator_needs_no_role(opened):
    (admin,) = [row["sub"] for row in listed().values() if row["is_admin"]]
    assert "owns every project" in run("user", "role", admin, "viewer", fails=True)
