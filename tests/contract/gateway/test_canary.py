"""A token goes through all routes, mangled requests included: no log, file, console or answer has its secret."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import pytest
import requests

from clearml_hpo.gateway.auth import Kind
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.db import Database
from clearml_hpo.gateway.redact import SecretFilter, guard_logs, route
from tests.gateways import TestGateway
from tests.integration.gateway.conftest import Gateway

SET_UP = {"x": "optuna#uniform(0,1)", "hopaas_config": {"title": "canary"}}


@pytest.fixture
def log(tmp_path):
    """Everything that any logger of this process says, to a file, as `gateway run` has it."""
    file = tmp_path / "log" / "gateway.log"
    file.parent.mkdir()
    handler = logging.FileHandler(file)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    guard_logs()
    yield file
    root.setLevel(level)
    root.removeHandler(handler)
    handler.close()
    for each in root.handlers:  # pytest's own
        each.filters = [found for found in each.filters if not isinstance(found, SecretFilter)]


def raw(url: str, content: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(content)
        connection.settimeout(0.2)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
        except OSError:
            pass
    return found


def mangled(token: str) -> list[bytes]:
    path = f"/api/ask/{token}"
    return [
        f"GET {path}\r\n\r\n".encode(),
        f"POST {path} HTTP/9.9\r\nhost: a\r\n\r\n".encode(),
        f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".encode(),
        f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{{".encode(),
        f"POST {path}?a=%zz HTTP/1.1\r\nhost: a\r\n\r\n".encode(),
        f"POST {path}\x00 HTTP/1.1\r\nhost: a\r\n\r\n".encode(),
        f"POST /hopaas{path}/more HTTP/1.1\r\nhost: {token}\r\ncontent-length: 0\r\n\r\n".encode(),
        f"POST {path.replace('_', '%5F')} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}".encode(),
        f"POST //api///ask//{token}// HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}".encode(),
        f"FETCH {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {token}\r\n\r\n".encode(),
        f"GET /api/v1/{token} HTTP/1.1\r\nhost: a\r\nreferer: http://a{path}\r\n\r\n".encode(),
        f"GET /nothing/{token} HTTP/1.1\r\nhost: a\r\nuser-agent: {token}\r\n\r\n".encode(),
        f"GET {path} HTTP/1.1\r\nhost: a\r\nx: {'x' * 100_000}\r\n\r\n".encode(),
    ]


def every_route(url: str, token: str) -> list[requests.Response]:
    trial = requests.post(f"{url}/api/ask/{token}", data=json.dumps(SET_UP)).json()["hopaas_trial"]
    found = []
    for prefix in ("", "/hopaas", "//hopaas/"):
        for call in ("ask", "should_prune", "tell", "mark_as_failed"):
            for body in (SET_UP, {"hopaas_trial": trial, "loss": 1, "step": 0}, {token: token}, {"loss": token}, []):
                found.append(requests.post(f"{url}{prefix}/api/{call}/{token}", data=json.dumps(body)))
        found.append(requests.get(f"{url}{prefix}/api/get_best_trial/{token}?hopaas_trial={trial}"))
        found.append(requests.get(f"{url}{prefix}/api/get_best_trial/{token}?hopaas_trial={token}"))
        found.append(requests.get(f"{url}{prefix}/api/version?{token}"))
    for path in ("/healthz", "/readyz", "/api/v1/openapi.json", f"/{token}", "/"):
        found.append(requests.get(f"{url}{path}", headers={"authorization": f"Bearer {token}"}))
    return found


def test_no_secret_is_left_anywhere(tmp_path, log, capfd, monkeypatch):
    gateway = TestGateway(tmp_path / "state")
    made, other = gateway.new(), gateway.new(kind=Kind.API)
    token, secret = made.text.reveal(), made.text.secret
    with gateway.running() as url:
        answers = every_route(url, token)
        for content in (*mangled(token), *mangled(other.text.reveal())):
            raw(url, content)

        def fails(*given, **more):
            raise RuntimeError(f"failed for {token}")

        monkeypatch.setattr(gateway.service, "open_study", fails)
        assert requests.post(f"{url}/api/ask/{token}", data=json.dumps(SET_UP)).status_code == 500
        logging.getLogger("someone.else").warning("a request of %s", {"path": f"/api/ask/{token}"})
        gateway.tokens.revoke(made.text.id, by="ann")
        assert requests.post(f"{url}/api/ask/{token}", data=json.dumps(SET_UP)).status_code == 401
    assert {answer.status_code for answer in answers} == {200, 401, 404, 422} - {401}
    text = log.read_text()
    # what is written there: routes, and of an error as much as is needed to revoke the token
    assert "POST /hopaas/api/ask/<token> 200" in text and "GET <other> 404" in text
    assert f"failed for gwh_{made.text.id}_***" in text
    assert f"/api/ask/gwh_{made.text.id}_***" in text
    console = "".join(capfd.readouterr())
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) >= 2
    for part in (secret, secret[:16], secret[-16:], other.text.secret):
        assert [path.name for path, content in files.items() if part.encode() in content] == []
        assert part not in console
    for answer in answers:
        assert secret not in str(answer.headers)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/ask/gwh_x", "/api/ask/<token>"),
        ("/hopaas/api/tell/x/y", "/hopaas/api/tell/<token>"),
        ("//hopaas//api//tell/x", "/hopaas/api/tell/<token>"),
        ("/api/ask", "/api/ask/<token>"),
        ("/api/version", "/api/version"),
        ("/api/v1/studies/3f", "/api/v1/studies/3f"),
        ("/healthz", "/healthz"),
        ("/", "/"),
        ("/ask/gwh_x", "<other>"),
        ("/api/asks/x", "<other>"),
        ("/studies/a\nb", "<other>"),
    ],
)
def test_paths_are_written_as_routes(path, expected):
    assert route(path) == expected


def test_filters_are_set_once():
    handler = logging.StreamHandler()
    logger = logging.getLogger("tests.filters")
    logger.addHandler(handler)
    try:
        guard_logs()
        guard_logs()
        assert len([each for each in handler.filters if isinstance(each, SecretFilter)]) == 1
    finally:
        logger.removeHandler(handler)
        for each in logging.getLogger().handlers:
            each.filters = [found for found in each.filters if not isinstance(found, SecretFilter)]


def test_exceptions_are_written_without_secrets(tmp_path):
    gateway = TestGateway(tmp_path)
    token = gateway.token()
    try:
        raise ValueError(token)
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, __file__, 1, "%s", (token,), (type(error), error, None))
    assert SecretFilter().filter(record)
    assert token not in logging.Formatter().format(record)
    assert Path(record.pathname).name in __file__


def test_no_secret_of_the_native_api_is_left_anywhere(server, tmp_path, log, capfd, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    database = Database(f"sqlite:///{tmp_path}/gateway.sqlite3")
    database.open()
    gateway = Gateway(database, Pepper("p" * 40))
    try:
        own = gateway.token("owner")
        _, made = gateway.call("POST", "/tokens", own, key="k", name="canary")
        _, again = gateway.call("POST", "/tokens", own, key="k", name="canary")
        _, rotated = gateway.call("POST", f"/tokens/{made['id']}:rotate", own, overlap_s=60)
        texts = [own, made["token"], rotated["token"]]
        answers = [again]
        for text in texts:
            answers += [gateway.call("GET", path, text)[1] for path in ("/tokens/self", "/tokens", "/audit")]
            answers += [
                gateway.call("GET", f"/tokens/{text}", own)[1],
                gateway.call("GET", f"/tokens?after={text}", own)[1],
                gateway.call("GET", f"/studies/{text}/events", own)[1],
                gateway.call("POST", f"/studies/{text}/trials", own, trials=[{"params": {text: text}}])[1],
                gateway.call("POST", "/tokens", own, name=text)[1],
                gateway.call("POST", "/tokens/self:rotate", made["token"], key=text, overlap_s=3600)[1]["detail"],
                gateway.call("POST", "/tokens", own, name="t", scopes=[text])[1],
                gateway.call("POST", "/tokens", own, **{text: text})[1],
                gateway.call("DELETE", f"/tokens/{text}", own)[1],
            ]
            for content in mangled(text):
                raw(gateway.url, content)
    finally:
        gateway.close()
        database.close()
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) >= 2 and b"token made" in files[tmp_path / "gateway.sqlite3"]
    said = "".join(capfd.readouterr()) + json.dumps(answers)
    for secret in (text.split("_", 2)[2][:43] for text in texts):
        assert [path.name for path, content in files.items() if secret.encode() in content] == []
        assert secret not in said
