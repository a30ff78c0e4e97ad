"""Log-in to the pages by a link, sessions, and who may send orders."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from clearml_hpo.cli.gateway import gateway as command
from clearml_hpo.gateway import state
from clearml_hpo.gateway.auth import sessions as sessions_
from clearml_hpo.gateway.auth.sessions import Sessions
from clearml_hpo.gateway.db import accounts, audit
from clearml_hpo.gateway.db import sessions as rows
from clearml_hpo.gateway.db.columns import Now
from clearml_hpo.gateway.db.housekeeping import tidy
from clearml_hpo.gateway.db.tables import login_links, sessions
from tests.contract.gateway.test_canary import log
from tests.pages import PagesGateway, Visitor

__all__ = ["log"]

PROXIED = {"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https"}


@pytest.fixture
def gateway(tmp_path):
    made = PagesGateway(tmp_path)
    yield made
    made.close()


@pytest.fixture
def user(database):
    with database.write() as connection:
        return accounts.ensure_user(connection, "i", "ann").id


def change(database, table, **values):
    with database.write() as connection:
        connection.execute(sa.update(table).values(values))


# --- links and sessions, in both databases --------------------------------------------------------------------------


def test_a_link_works_once(database, user):
    found = Sessions(database)
    key = found.new_link(user)
    session = found.begin(key)
    assert found.find(session).user == user
    assert found.begin(key) is None and found.begin("") is None and found.begin("other") is None


def test_a_link_works_for_ten_minutes(database, user):
    found = Sessions(database)
    key = found.new_link(user)
    change(database, login_links, expires=login_links.c.expires - 590)
    assert found.begin(key)
    key = found.new_link(user)
    change(database, login_links, expires=login_links.c.expires - 601)
    assert found.begin(key) is None


@pytest.mark.parametrize(
    ("seconds", "column", "counts"),
    [(3500, "seen", True), (3601, "seen", False), (43_100, "expires", True), (43_201, "expires", False)],
)
def test_a_session_ends_after_an_hour_of_silence_or_twelve_hours(database, user, seconds, column, counts):
    found = Sessions(database)
    session = found.begin(found.new_link(user))
    change(database, sessions, **{column: sessions.c[column] - seconds})
    assert (found.find(session) is not None) == counts


def test_use_keeps_a_session_alive(database, user):
    found = Sessions(database)
    session = found.begin(found.new_link(user))
    for _ in range(3):
        change(database, sessions, seen=sessions.c.seen - 3000)
        assert found.find(session)


def test_each_log_in_has_a_new_id_and_ends_the_one_before(database, user):
    found = Sessions(database)
    first = found.begin(found.new_link(user))
    second = found.begin(found.new_link(user), instead_of=first)
    assert first != second and found.find(first) is None and found.find(second)


def test_a_disabled_user_is_logged_out_for_good(database, user):
    found = Sessions(database)
    session, key = found.begin(found.new_link(user)), found.new_link(user)
    with database.write() as connection:
        accounts.disable(connection, user)
    assert found.find(session) is None and found.begin(key) is None
    with database.write() as connection:
        connection.execute(sa.update(accounts.users).values(disabled_at=None))
    assert found.find(session) is None


def test_only_hashes_are_kept(database, user):
    found = Sessions(database)
    key, session = found.new_link(user), found.begin(found.new_link(user))
    with database.read() as connection:
        kept = str([*connection.execute(sa.select(login_links)), *connection.execute(sa.select(sessions))])
    assert key not in kept and session not in kept and len(session) >= 43


def test_what_is_over_is_removed(database, user):
    found = Sessions(database)
    found.new_link(user)
    session = found.begin(found.new_link(user))
    change(database, login_links, expires=Now() - 1)
    tidy(database)
    with database.read() as connection:
        assert not connection.execute(sa.select(login_links)).all()
    assert found.find(session)
    change(database, sessions, expires=Now() - rows._FORGET_S - 1)
    tidy(database)
    with database.read() as connection:
        assert not connection.execute(sa.select(sessions)).all()


# --- in a browser ---------------------------------------------------------------------------------------------------


def test_opening_the_link_does_not_use_it_up(gateway):
    link = gateway.link()
    for _ in range(3):  # a mail program, a chat program, a proxy that looks for malware
        preview = Visitor(gateway.url)
        assert preview.get(link).status_code == 200 and not preview.session.cookies
    visitor = Visitor(gateway.url)
    answer = visitor.log_in(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies")
    cookie = answer.headers["set-cookie"].lower()
    assert (
        cookie.startswith("gateway=") and "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie
    )
    assert visitor.get("/guide").status_code == 200
    assert Visitor(gateway.url).log_in(link).status_code == 403


def test_before_tls_the_cookie_is_bound_to_the_host(gateway):
    visitor = Visitor(gateway.url)
    answer = visitor.log_in(gateway.link(), origin=gateway.url, **PROXIED)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-gateway=") and "secure" in cookie and "path=/" in cookie and "domain" not in cookie
    value = answer.cookies.get("__Host-gateway") or cookie.split(";")[0].partition("=")[2]
    plain = Visitor(gateway.url).get("/guide", cookie=f"gateway={value}", **PROXIED)
    assert plain.status_code == 303, "a cookie of plain HTTP does not count behind TLS"


@pytest.mark.parametrize("path", ["/", "/studies", "/studies/x", "/tokens", "/guide"])
def test_without_a_session_a_page_leads_to_the_log_in(gateway, path):
    answer = Visitor(gateway.url).get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    answer = Visitor(gateway.url).get(path, accept="application/json")
    assert answer.status_code == 403 and "login-link" in answer.json()["told"]


def test_plain_http_from_elsewhere_is_refused(gateway):
    headers = {"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "http"}
    for path in (gateway.link(), "/guide"):
        answer = gateway.visitor().get(path, **headers)
        assert answer.status_code == 403 and "https" in answer.text


def test_log_out(gateway):
    visitor = gateway.visitor()
    value = visitor.session.cookies["gateway"]
    answer = visitor.post("/logout")
    assert answer.status_code == 303 and "gateway" not in visitor.session.cookies
    assert Visitor(gateway.url).get("/guide", cookie=f"gateway={value}").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"x-nothing": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=lambda each: "-".join(each.values()) or "none",
)
def test_orders_come_from_this_site(gateway, headers):
    visitor = gateway.visitor()
    assert visitor.post("/logout", **headers).status_code == 403
    assert visitor.get("/guide").status_code == 200
    assert Visitor(gateway.url).log_in(gateway.link(), **headers).status_code == 403


@pytest.mark.parametrize("own", ["", "wrong", "é"])
def test_orders_need_the_token_of_the_session(gateway, own):
    visitor = gateway.visitor()
    answer = visitor.post("/logout", form_token=own)
    assert answer.status_code == 403 and "earlier log-in" in answer.text
    assert visitor.post("/logout", form_token=gateway.visitor().form_token()).status_code == 403
    assert visitor.get("/guide").status_code == 200


def test_headers_of_pages(gateway):
    visitor = gateway.visitor()
    for path in ("/guide", "/login", "/tokens", "/studies/nothing"):
        headers = visitor.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin", "with no-referrer, forms would come from origin null"
        assert headers["cache-control"] == "no-store"
    assert "immutable" in visitor.get("/static/dashboard.css").headers["cache-control"]
    assert Visitor(gateway.url).get("/static/dashboard.css").status_code == 200


def test_the_audit_knows_who_logged_in(gateway):
    gateway.visitor("ann")
    with gateway.database.read() as connection:
        (last,) = audit.last(connection, 1)
    assert (last.what, last.user) == ("logged in", gateway.user("ann"))


def test_text_of_a_link_is_only_text(gateway):
    answer = Visitor(gateway.url).get("/login?key=%22%3E%3Cscript%3E")
    assert answer.status_code == 200 and "<script>" not in answer.text


def test_no_log_has_a_key_a_session_or_a_token(gateway, log, tmp_path):
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # the test's own browser
    visitor = Visitor(gateway.url)
    link = gateway.link()
    visitor.log_in(link)
    project = gateway.project("physics")
    made = visitor.post("/tokens", {"name": "a", "project": project.id, "kind": "api", "days": "1"})
    token = made.text.partition("CLEARML_HPO_TOKEN=")[2].partition("<")[0]
    secrets = [
        link.partition("key=")[2],
        visitor.session.cookies["gateway"],
        visitor.form_token(),
        token[len("gwt_123456789012_") : -len("_123456")],
    ]
    for path in (
        link,
        "/tokens",
        f"/tokens/{token}",
        f"/studies/{token}",
        f"/login/{secrets[0]}",
        f"/guide/{secrets[1]}",
    ):
        visitor.get(path)
    assert "GET /tokens 200" in log.read_text()
    for file in [log, *tmp_path.glob("*.sqlite3*")]:
        content = file.read_bytes()
        assert [secret for secret in secrets if len(secret) < 20 or secret.encode() in content] == [], file


# --- the command ----------------------------------------------------------------------------------------------------


def test_login_link_prints_a_link_that_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("CLEARML_HPO_HOME", str(tmp_path))
    done = CliRunner().invoke(command, ["login-link", "--url", "https://hpo.example.org/"])
    address, _, key = done.stdout.strip().partition("?key=")
    assert address == "https://hpo.example.org/login"
    database = state.database()
    found = Sessions(database)
    session = found.find(found.begin(key))
    with database.read() as connection:
        assert accounts.user(connection, session.user).is_admin
    database.close()
    assert sessions_.LINK_S == 600
    refused = CliRunner().invoke(command, ["login-link", "--url", "hpo.example.org"])
    assert "expected an address" in str(refused.exception)
