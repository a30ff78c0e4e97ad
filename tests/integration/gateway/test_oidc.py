"""Log-in at a provider: a real one in this process, with real codes, keys and tokens."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import sqlalchemy as sa
from oidc_provider_mock import User, run_server_in_thread

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.auth.oidc import Provider, read_providers
from clearml_hpo.gateway.db import accounts
from clearml_hpo.gateway.db.accounts import Role
from clearml_hpo.gateway.db.tables import audit, users
from tests.pages import PagesGateway, Visitor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
USERS = [
    User(sub="ann", claims={"name": "Ann", "groups": ["hpo", "staff"]}),
    User(sub="bob", claims={"name": "Bob", "groups": ["staff"]}),
    User(sub="eve", claims={"name": "Eve", "groups": "hpo-but-not-quite"}),
]


@pytest.fixture(scope="module")
def provider():
    with run_server_in_thread(user_claims=USERS) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def gateway(tmp_path, provider, monkeypatch):
    monkeypatch.setenv("SITE_SECRET", "the client's own")
    known = {"title": "Site", "issuer": provider, "secret": "SITE_SECRET", "allow": {"groups": ["hpo"]}}
    site = Provider(**known, client_id="hpo", projects={"physics": Role.MEMBER})
    other = Provider(**known, client_id="other")
    made = PagesGateway(tmp_path, providers={"site": site, "other": other})
    yield made
    made.close()


def leave(visitor, name="site"):
    """Where the gateway sends a browser, and what it asks there."""
    answer = visitor.get(f"/login/{name}")
    assert answer.status_code == 302
    return answer.headers["location"], {
        k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()
    }


def agree(url, sub):
    """The path to which the provider sends a user back who has agreed."""
    answer = requests.post(url, {"sub": sub}, allow_redirects=False, timeout=60)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


def log_in(gateway, sub, name="site"):
    visitor = Visitor(gateway.url)
    url, _ = leave(visitor, name)
    return visitor, visitor.get(agree(url, sub))


def test_a_user_of_the_provider_comes_in_and_has_the_role_of_the_file(gateway):
    page = Visitor(gateway.url).get("/login").text
    assert 'href="/login/site"' in page and "Log in with Site" in page
    visitor, answer = log_in(gateway, "ann")
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies")
    assert "Ann" in visitor.get("/guide").text
    with gateway.database.read() as connection:
        (project,) = [each for each, _ in accounts.seen_projects(connection, _user(connection).id).values()]
        assert project.name == "physics"
        assert connection.execute(sa.select(audit.c.what)).scalars().all() == ["logged in"]
    assert visitor.post("/logout").status_code == 303
    assert visitor.get("/guide").status_code == 303


def _users(connection):
    return [accounts.User(*row) for row in connection.execute(sa.select(users))]


def _user(connection):
    (found,) = _users(connection)
    return found


def test_code_challenge_state_and_nonce_are_sent(gateway):
    _, asked = leave(Visitor(gateway.url))
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
    assert len(base64.urlsafe_b64decode(asked["code_challenge"] + "=")) == len(hashlib.sha256().digest())
    assert asked["state"] and asked["nonce"]
    assert asked["redirect_uri"] == f"{gateway.url}/login/site/callback"
    assert leave(Visitor(gateway.url))[1]["state"] != asked["state"]


@pytest.mark.parametrize("sub", ["bob", "eve", "somebody else"])
def test_who_is_in_no_allowed_group_stays_out(gateway, sub):
    visitor, answer = log_in(gateway, sub)
    assert answer.status_code == 403 and "you may not use this gateway" in answer.text
    assert visitor.get("/guide").status_code == 303
    with gateway.database.read() as connection:
        assert _users(connection) == []
        noted = connection.execute(sa.select(audit.c.what, audit.c.target, audit.c.ok)).all()
    assert ("log-in refused", "site: NotAllowedError", False) in [tuple(each) for each in noted]


def test_a_code_counts_once(gateway):
    visitor = Visitor(gateway.url)
    url, _ = leave(visitor)
    back = agree(url, "ann")
    cookie = dict(visitor.session.cookies)
    assert visitor.get(back).status_code == 303
    again = Visitor(gateway.url)
    again.session.cookies.update(cookie)
    assert again.get(back).status_code == 403


def test_a_state_of_another_browser_is_refused(gateway):
    url, _ = leave(Visitor(gateway.url))
    stranger = Visitor(gateway.url)
    assert stranger.get(agree(url, "ann")).status_code == 403
    leave(stranger)
    assert stranger.get(agree(url, "ann")).status_code == 403
    assert stranger.get("/guide").status_code == 303


def test_a_code_for_one_provider_does_not_count_at_another(gateway):
    visitor = Visitor(gateway.url)
    url, _ = leave(visitor)
    back = agree(url, "ann").replace("/login/site/", "/login/other/")
    assert visitor.get(back).status_code == 403


@pytest.mark.parametrize("query", ["", "?code=x", "?code=x&state=y", "?error=access_denied&state=y", "?state=y"])
def test_an_odd_callback_is_refused(gateway, query):
    assert Visitor(gateway.url).get(f"/login/site/callback{query}").status_code == 403


def test_a_disabled_user_stays_out(gateway):
    visitor, _ = log_in(gateway, "ann")
    with gateway.database.write() as connection:
        accounts.disable(connection, _user(connection).id)
    assert visitor.get("/guide").status_code == 303
    assert log_in(gateway, "ann")[1].status_code == 403


def test_a_role_that_was_changed_stays_changed(gateway):
    log_in(gateway, "ann")
    with gateway.database.write() as connection:
        project = accounts.ensure_project(connection, "physics").id
        accounts.set_role(connection, project, _user(connection).id, Role.VIEWER)
    log_in(gateway, "ann")
    with gateway.database.read() as connection:
        assert accounts.role(connection, project, _user(connection).id) is Role.VIEWER


def test_a_provider_that_does_not_answer(tmp_path):
    away = Provider(title="Away", issuer="http://localhost:9", client_id="hpo", allow={"groups": ["hpo"]})
    gateway = PagesGateway(tmp_path, providers={"away": away})
    try:
        answer = Visitor(gateway.url).get("/login/away")
        assert answer.status_code == 502 and "does not answer" in answer.text
    finally:
        gateway.close()


# --- the file --------------------------------------------------------------------------------------------------------

SOUND = {"title": "Site", "issuer": "https://iam.example.org", "client_id": "hpo", "allow": {"groups": "hpo"}}


def test_a_file_of_providers(tmp_path, monkeypatch):
    file = tmp_path / "oidc.yaml"
    assert read_providers(file) == {}
    monkeypatch.setenv("SITE_SECRET", "x")
    file.write_text(json.dumps({"site": {**SOUND, "secret": "SITE_SECRET", "projects": {"physics": "viewer"}}}))
    (found,) = read_providers(file).values()
    assert found.allow == {"groups": ["hpo"]} and found.projects == {"physics": Role.VIEWER}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"issuer": "http://iam.example.org"}, "site.issuer: .*begins with https"),
        ({"allow": {}}, "site.allow"),
        ({"allow": None}, "site.allow"),
        ({"client_id": ""}, "site.client_id"),
        ({"secret": "hunter2"}, "site.secret"),
        ({"secret": "SITE_SECRET"}, "SITE_SECRET is empty"),
        ({"projects": {"physics": "king"}}, "site.projects.physics"),
        ({"alow": {}}, "site.alow"),
    ],
)
def test_what_is_wrong_with_a_provider_is_said(tmp_path, monkeypatch, change, said):
    monkeypatch.delenv("SITE_SECRET", raising=False)
    file = tmp_path / "oidc.yaml"
    file.write_text(json.dumps({"site": {**SOUND, **change}}))
    with pytest.raises(InputError, match=said):
        read_providers(file)


@pytest.mark.parametrize("text", ["[1]", "a: [", "Site X: {}"])
def test_a_file_that_is_none(tmp_path, text):
    file = tmp_path / "oidc.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"oidc\.yaml"):
        read_providers(file)
