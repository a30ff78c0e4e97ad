"""How this package logs in: with keys or a token, again before a token ends and after it was refused."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

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
    client._token = type(good)(ending_in(seconds, good.header.removeprefix("Bearer ")))
    client._token.renewed_at -= 1 if seconds == 1 else 0
    assert client.call("users.get_current_user")["user"] and len(logins) == 2
    assert client.call("users.get_current_user")["user"] and len(logins) == 2


ELSEWHERE, MOVED = "http://clearml.test:8008", "/moved"


class _Front(BaseHTTPRequestHandler):
    """A proxy that is asked for any address, or what refers to another one."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers.get("Proxy-Authorization")))
        if self.server.has_moved and not self.path.startswith(MOVED):
            self.send_response(308)
            self.send_header("Location", MOVED + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
        url = self.server.stands_before + self.path.removeprefix(ELSEWHERE).removeprefix(MOVED)
        answer = requests.post(url, body, headers=headers, proxies={"http": ""}, timeout=10)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def front(server):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Front) as found:
        found.seen, found.has_moved, found.stands_before = [], False, server.address.api
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_calls_go_through_the_proxy_that_the_environment_names(server, monkeypatch, front):
    monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{front.server_port}")
    monkeypatch.setenv("no_proxy", "")
    assert Client(replace(server.address, api=ELSEWHERE)).call("users.get_current_user")["user"]
    asked = [f"{ELSEWHERE}/{name}" for name in ("auth.login", "users.get_current_user")]
    assert front.seen == [(url, "Basic bWU6c2VjcmV0") for url in asked]


def test_a_server_that_has_moved_is_followed_with_the_body(server, front):
    front.has_moved = True
    client = Client(replace(server.address, api=f"http://127.0.0.1:{front.server_port}"))
    assert client.call("queues.get_by_id", queue=client.call("queues.create", name="a queue that was asked for")["id"])
