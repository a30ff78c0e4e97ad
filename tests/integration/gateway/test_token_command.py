"""`clearml-hpo gateway token` and `gateway migrate`."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from clearml_hpo.cli.gateway import gateway
from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.gateway import state
from clearml_hpo.gateway.auth import Kind, RefusedTokenError, Tokens
from tests.integration.gateway.test_install import program

PAGE = Path(__file__).parents[3] / "docs" / "gateway.md"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CLEARML_HPO_HOME", str(tmp_path))
    for name in ("CLEARML_HPO_GATEWAY_DATABASE", "CLEARML_HPO_GATEWAY_PEPPER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str, fails: bool = False) -> str:
    done = CliRunner().invoke(gateway, arguments)
    if fails:
        assert isinstance(done.exception, (ClearmlHpoError, SystemExit))
        return done.output + str(done.exception)
    assert done.exception is None, done.output
    return done.stdout


def test_a_token_from_new_to_revoked(home):
    made = json.loads(run("token", "new", "batch [b]jobs", "--kind", "hopaas", "--valid", "60d", "--format", "json"))
    database = state.database()
    found = Tokens(database, state.pepper()).check(made["token"], Kind.HOPAAS)
    assert found.token == made["id"]
    listed = json.loads(run("token", "list", "--format", "json"))[0]
    assert (listed["name"], listed["kind"], listed["revoked_at"]) == ("batch [b]jobs", "hopaas", None)
    assert listed["expires"] - listed["created"] == pytest.approx(60 * 86_400)
    table = run("token", "list")
    assert made["id"] in table
    assert run("token", "list", "--format", "csv").splitlines()[0].startswith("id,kind,name,project,scopes")
    for _ in range(2):
        assert run("token", "revoke", made["id"]) == f"{made['id']} is revoked\n"
    with pytest.raises(RefusedTokenError, match="revoked"):
        Tokens(database, state.pepper()).check(made["token"], Kind.HOPAAS)
    assert json.loads(run("token", "list", "--format", "json"))[0]["revoked_at"]
    secret = made["token"].split("_", 2)[2][:43].encode()
    assert not any(secret in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_only_the_token_is_on_stdout():
    assert re.fullmatch(r"gwt_\S{63}\n", run("token", "new", "a"))


def test_rotate():
    first = json.loads(run("token", "new", "a", "--format", "json"))
    second = json.loads(run("token", "rotate", first["id"], "--overlap", "2h", "--format", "json"))
    checks = Tokens(state.database(), state.pepper())
    assert checks.check(first["token"], Kind.API).token == first["id"]
    assert checks.check(second["token"], Kind.API).token == second["id"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("token", "new", "a", "--valid", "2h"),
            "a token of kind api is valid for 1 to 365 days; found 0.0833333 days",
        ),
        (
            ("token", "new", "a", "--kind", "hopaas", "--valid", "100d"),
            "a token of kind hopaas is valid for 1 to 90 days",
        ),
        (("token", "new", "a", "--valid", "soon"), "'soon' is no duration"),
        (("token", "new", "a", "--scope", "worke"), "did you mean 'worker'?"),
        (("token", "revoke", "nothing"), "there is no token nothing"),
        (("token", "rotate", "nothing"), "token nothing: unknown, revoked or expired"),
        (("migrate", "--database", "postgresql://u:secret@127.0.0.1/x"), "CLEARML_HPO_GATEWAY_DATABASE"),
        (("migrate", "--grant", "someone"), "SQLite has no roles"),
    ],
)
def test_mistakes_are_one_message(arguments, message):
    output = run(*arguments, fails=True)
    assert message in output and "secret" not in output


def test_migrate_is_idempotent(home):
    for _ in range(2):
        assert run("migrate") == f"sqlite:///{home}/gateway/gateway.sqlite3 is at version 0003\n"


def test_the_database_of_the_variable_is_used(empty_postgresql, monkeypatch):
    monkeypatch.setenv("CLEARML_HPO_GATEWAY_DATABASE", empty_postgresql)
    assert "run `clearml-hpo gateway migrate` first" in run("token", "list", fails=True)
    assert "***@127.0.0.1" in run("migrate")
    made = json.loads(run("token", "new", "a", "--format", "json"))
    assert made["id"] in run("token", "list")


def test_a_backup_as_the_page_says_brings_tokens_back(empty_postgresql, monkeypatch, tmp_path):
    program("pg_dump")
    monkeypatch.setenv("CLEARML_HPO_GATEWAY_DATABASE", empty_postgresql)
    run("migrate")
    made = json.loads(run("token", "new", "a", "--format", "json"))
    commands = re.findall(r"^(?:pg_dump|pg_restore) .*$", PAGE.read_text(), re.MULTILINE)
    dump, restore = [
        command.rpartition(" hpo")[0] if command.startswith("pg_dump") else command for command in commands
    ]
    subprocess.run([*dump.split(), empty_postgresql], cwd=tmp_path, check=True)
    run("token", "revoke", made["id"])
    restore = restore.replace(" hpo ", f" {empty_postgresql} ")
    subprocess.run(restore.split(), cwd=tmp_path, check=True)
    assert Tokens(state.database(), state.pepper()).check(made["token"], Kind.API).token == made["id"], (
        "it counts again"
    )


def test_a_missing_extra_is_one_line(monkeypatch):
    monkeypatch.setattr("clearml_hpo.core.choices.find_spec", lambda name: None if name == "fastapi" else True)
    message = "the gateway: the package fastapi is missing: pip install 'clearml-hpo[gateway]'"
    assert message in run("token", "list", fails=True)
