"""The pages for tokens and the guide."""

from __future__ import annotations

import configparser
import html
import os
import re
import subprocess
import sys

import pytest

from clearml_hpo.gateway.auth import Kind, RefusedTokenError, Rights
from clearml_hpo.gateway.auth.scopes import Right
from clearml_hpo.gateway.db import accounts, studies, tokens
from clearml_hpo.gateway.db.accounts import Role
from tests.integration.gateway.test_install import program
from tests.pages import PagesGateway


@pytest.fixture
def gateway(server, tmp_path, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    made = PagesGateway(tmp_path)
    yield made
    made.close()


@pytest.fixture
def physics(gateway):
    return gateway.project("physics", olga=Role.OWNER, mia=Role.MEMBER, vic=Role.VIEWER)


def shown(answer, part="export"):
    """The text of a block of a page."""
    found = re.search(rf'<pre id="{part}">(.*?)</pre>', answer.text, re.DOTALL)
    assert found, answer.text
    return html.unescape(found[1])


def made(visitor, project, /, **form):
    fields = {"name": "batch jobs", "project": project.id, "kind": "api", "study": "", "days": "30"}
    return visitor.post("/tokens", {**fields, **form})


def secret(answer):
    return shown(answer).partition("=")[2]


def test_a_token_is_shown_once(gateway, physics):
    visitor = gateway.visitor("mia")
    answer = made(visitor, physics)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert shown(answer).startswith("export CLEARML_HPO_TOKEN=gwt_")
    who = gateway.tokens.check(secret(answer), Kind.API)
    assert (who.owner, who.project) == (gateway.user("mia"), physics.id)
    page = visitor.get("/tokens").text
    assert who.token in page and "batch jobs" in page and secret(answer) not in page
    with gateway.database.read() as connection:
        row = tokens.find(connection, who.token)
    assert row.expires - row.created == pytest.approx(30 * 86_400)


def test_a_token_of_hopaas_comes_with_the_clients_file(gateway, physics):
    answer = made(gateway.visitor("mia"), physics, kind="hopaas", days="90")
    found = configparser.ConfigParser()
    found.read_string(shown(answer, "hopaasrc"))
    assert f"{found['server']['address']}:{found['server']['port']}" == gateway.url
    assert gateway.tokens.check(found["auth"]["api_token"], Kind.HOPAAS).project == physics.id


def test_before_tls_the_file_has_https_and_its_port(gateway, physics):
    visitor = gateway.visitor("mia")
    headers = {"host": "hpo.example.org", "origin": "https://hpo.example.org", "x-forwarded-proto": "https"}
    headers["cookie"] = f"__Host-gateway={visitor.session.cookies['gateway']}"
    answer = visitor.post("/tokens", {"name": "a", "project": physics.id, "kind": "hopaas", "days": "1"}, **headers)
    assert "address = https://hpo.example.org\nport = 443\n" in shown(answer, "hopaasrc")


def test_a_token_of_one_study(gateway, physics):
    with gateway.database.write() as connection:
        own = {"name": "a", "set_up": "", "file": "", "lease_s": 60}
        study, _ = studies.get_or_create(connection, physics.id, "suid", **own)
        other, _ = studies.get_or_create(connection, accounts.ensure_project(connection, "other").id, "suid", **own)
    visitor = gateway.visitor("mia")
    who = gateway.tokens.check(secret(made(visitor, physics, study=study.id)), Kind.API)
    assert who.rights.allow(Right.ASK, study.id) and not who.rights.allow(Right.ASK, other.id)
    answer = made(visitor, physics, study=other.id)
    assert answer.status_code == 400 and "study: choose one" in answer.text


def test_a_viewers_token_only_looks(gateway, physics):
    who = gateway.tokens.check(secret(made(gateway.visitor("vic"), physics)), Kind.API)
    assert who.rights == Rights.parse(["viewer"])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"days": "0"}, "valid for 1 to 365 days"),
        ({"days": "366"}, "valid for 1 to 365 days"),
        ({"days": "91", "kind": "hopaas"}, "valid for 1 to 90 days"),
        ({"days": "soon"}, "expected a whole number of days"),
        ({"days": "9" * 400}, "expected a whole number of days"),
        ({"days": "²"}, "expected a whole number of days"),
        ({"name": " "}, "name: say in"),
        ({"name": "a" * 101}, "name: say in"),
        ({"name": "a\0b"}, "name: say in"),
        ({"kind": "root"}, "expected one of: api, hopaas"),
        ({"project": "nothing"}, "project: choose one"),
    ],
    ids=lambda each: "-".join(each.values())[:20] if isinstance(each, dict) else "",
)
def test_mistakes_are_one_message_and_make_nothing(gateway, physics, form, message):
    answer = made(gateway.visitor("mia"), physics, **form)
    assert answer.status_code == 400 and message in html.unescape(answer.text)
    with gateway.database.read() as connection:
        assert not tokens.listed(connection)


@pytest.mark.parametrize("days", ["1", "365"])
def test_one_day_to_one_year(gateway, physics, days):
    assert made(gateway.visitor("mia"), physics, days=days).status_code == 200


def test_in_a_project_without_a_role_no_token_is_made(gateway, physics):
    assert made(gateway.visitor("eve"), physics).status_code == 400


def test_last_use_is_shown(gateway, physics):
    visitor = gateway.visitor("mia")
    text = secret(made(visitor, physics))
    assert "127.0.0.1" not in visitor.get("/tokens").text.partition('id="tokens"')[2]
    gateway.tokens.check(text, Kind.API, "192.0.2.9")
    assert "192.0.2.9" in visitor.get("/tokens").text


def test_rotate(gateway, physics):
    visitor = gateway.visitor("mia")
    first = secret(made(visitor, physics))
    old = gateway.tokens.check(first, Kind.API)
    second = secret(visitor.post(f"/tokens/{old.token}/rotate"))
    assert gateway.tokens.check(second, Kind.API).token != old.token
    with gateway.database.read() as connection:
        row = tokens.find(connection, old.token)
    assert row.expires - row.created < 86_400 + 60


def test_revoke(gateway, physics):
    visitor = gateway.visitor("mia")
    text = secret(made(visitor, physics))
    token = gateway.tokens.check(text, Kind.API).token
    assert visitor.post(f"/tokens/{token}/revoke").headers["location"] == "/tokens"
    with pytest.raises(RefusedTokenError, match="revoked"):
        gateway.tokens.check(text, Kind.API)
    assert "revoked" in visitor.get("/tokens").text
    answer = visitor.post(f"/tokens/{token}/rotate")
    assert answer.status_code == 400 and "token new` makes one" in html.unescape(answer.text)


def test_tokens_of_others(gateway, physics):
    """Their owner's, and the project's owners, who may revoke them: not rotate, which would show them a secret."""
    text = secret(made(gateway.visitor("mia"), physics))
    token = gateway.tokens.check(text, Kind.API).token
    for name in ("vic", "eve"):
        stranger = gateway.visitor(name)
        assert token not in stranger.get("/tokens").text
        for order in ("rotate", "revoke"):
            assert stranger.post(f"/tokens/{token}/{order}").status_code == 400
    owner = gateway.visitor("olga")
    assert token in owner.get("/tokens").text
    assert owner.post(f"/tokens/{token}/rotate").status_code == 403
    assert gateway.tokens.check(text, Kind.API).token == token
    assert owner.post(f"/tokens/{token}/revoke").status_code == 303
    with pytest.raises(RefusedTokenError):
        gateway.tokens.check(text, Kind.API)


def test_names_are_only_text(gateway, physics):
    visitor = gateway.visitor("mia")
    assert "<b>" not in made(visitor, physics, name="<b>x</b>").text
    assert "&lt;b&gt;x" in visitor.get("/tokens").text


# --- the guide ------------------------------------------------------------------------------------------------------


@pytest.fixture
def guide(gateway, physics, tmp_path):
    """The guide's page, and an environment in which its snippets run."""
    visitor = gateway.visitor("mia")
    home = tmp_path / "home"
    home.mkdir()
    text = secret(made(visitor, physics))
    (home / ".clearml_hpo_token").write_text(text)
    (home / ".clearml_hpo_token").chmod(0o600)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "CLEARML_HPO_TOKEN": text}

    def run(script, **more):
        bound = {name: value for name, value in {**environ, **more}.items() if value}
        done = subprocess.run(["bash", "-ec", script], env=bound, cwd=home, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    program("curl")
    return visitor.get("/guide"), home, run


def test_the_guides_snippets_run(gateway, guide):
    page, home, run = guide
    assert gateway.url in page.text
    run(shown(page, "fetch"))
    (home / "worker.py").write_text(shown(page, "python"))
    batch = shown(page, "sbatch").replace("python3", sys.executable)
    assert batch.startswith("#!/bin/bash\n#SBATCH")
    said = run(batch, CLEARML_HPO_TOKEN="", SLURM_ARRAY_JOB_ID="9", SLURM_ARRAY_TASK_ID="1")
    assert "'number'" in said
    assert '"example"' in run(shown(page, "curl"))
