"""How this package logs in: with keys or a token, again before a token ends and after it was refused."""

from __future__ import annotations

import base64
import json
import time

import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.http import Client
from clearml_hpo.core.errors import InputError, ServerError


@pytest.fixture
def environ(server_environ, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def token_of(server):
    return Client(server.address).call("auth.login")["token"]


def ending_in(seconds, token):
    """The same token, as if it ended then: what a client reads of it; the server would refuse it."""
    head, _, signature = token.split(".")
    body = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


def test_a_token_logs_in_where_there_are_no_keys(server, environ):
    environ.delenv("CLEARML_API_ACCESS_KEY")
    environ.delenv("CLEARML_API_SECRET_KEY")
    with pytest.raises(ServerError, match="no keys for the ClearML server"):
        Api()
    environ.setenv("CLEARML_AUTH_TOKEN", token_of(server))
    assert Api().call("users.get_current_user")["user"]


def test_keys_that_are_refused_are_said(environ):
    environ.setenv("CLEARML_API_SECRET_KEY", "wrong")
    with pytest.raises(ServerError, match=r"refused the login: auth\.login was refused \(401"):
        Api()


def test_no_server_is_configured(environ):
    environ.delenv("CLEARML_API_HOST")
    with pytest.raises(InputError, match="no ClearML server is configured"):
        Api()


@pytest.mark.parametrize("seconds", [1, 10_000])
def test_a_token_is_renewed_before_its_end_and_when_it_is_refused(server, monkeypatch, seconds):
    client, logins = Client(server.address), []
    log_in = client.log_in
    monkeypatch.setattr(client, "log_in", lambda: logins.append(1) or log_in())
    client.call("users.get_current_user")
    good = client._token
    client._token = type(good)(ending_in(seconds, good._text))
    client._token.renewed_at -= 1 if seconds == 1 else 0
    assert client.call("users.get_current_user")["user"] and len(logins) == 2
    assert client.call("users.get_current_user")["user"] and len(logins) == 2
