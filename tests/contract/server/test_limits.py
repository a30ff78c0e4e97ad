"""What clients may not do to a running server: keep it waiting, send too much, use other names, leave its folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import uvicorn
from click.testing import CliRunner

from clearml_hpo import server as embedded
from clearml_hpo.cli import main
from clearml_hpo.core.errors import InputError
from clearml_hpo.server import RunningServer
from clearml_hpo.server.connections import PatientProtocol
from clearml_hpo.server.options import Options
from clearml_hpo.server.state import DataDir, Listening

from .http_client import Client

pytestmark = pytest.mark.embedded

DEADLINE_S = 60
LARGEST = 200 * 2**20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data = tmp_path_factory.mktemp("limits") / "data"
    data.mkdir(mode=0o755)
    DataDir(data).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield embedded.start(data, options=Options(access_log=True, max_file_size=LARGEST))
    embedded.stop(data)


def raw(url: str, request: str) -> bytes:
    """What comes back until the server closes the connection."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=DEADLINE_S) as connection:
        connection.sendall(request.encode())
        parts = []
        with contextlib.suppress(ConnectionResetError):  # it does not read what it has refused
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


def status(url: str, line: str, *headers: str) -> int:
    """The status of a request whose head is written as it is."""
    head = "\r\n".join([line, *(headers or ("Host: localhost",)), "Connection: close"])
    return int(raw(url, f"{head}\r\n\r\n").split()[1])


# --- names ------------------------------------------------------------------------------------------------------------


def test_other_names_than_this_machines_are_refused(running: RunningServer) -> None:
    for url in (running.address.api, running.address.files, running.address.web):
        assert status(url, "GET /debug.ping HTTP/1.1", "Host: evil.example") == 403
        assert status(url, "GET /debug.ping HTTP/1.1", "Host: localhost") != 403


@pytest.mark.parametrize(
    "path", ["/%2e%2e/store.sqlite3", "/..%2fstore.sqlite3", "/a/%2e%2e/%2e%2e/store.sqlite3", "/%00"]
)
def test_encoded_names_stay_in_the_folder(path: str, running: RunningServer) -> None:
    token = Client(running).call("auth.login")["token"]
    for method in ("GET", "DELETE"):
        got = status(
            running.address.files, f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"
        )
        assert got == 400
    assert DataDir(running.data_dir).database.exists()


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_a_large_upload_is_not_held_in_memory(running: RunningServer) -> None:
    process, part = psutil.Process(running.pid), b"x" * 2**20
    client, url = Client(running), f"{running.address.files}/large.bin"
    before = process.memory_info().rss
    peak = [before]

    def parts() -> Iterator[bytes]:
        for _ in range(150):
            yield part
            peak.append(process.memory_info().rss)

    assert client.session.put(url, parts(), timeout=DEADLINE_S).status_code == 200
    with client.session.get(url, stream=True, timeout=DEADLINE_S) as answer:
        for _ in answer.iter_content(2**20):
            peak.append(process.memory_info().rss)
    assert max(peak) - before < 75 * 2**20
    assert client.session.delete(url, timeout=DEADLINE_S).status_code == 200


def test_the_size_limit_is_the_one_that_was_given(running: RunningServer) -> None:
    head = (f"Authorization: Bearer {Client(running).call('auth.login')['token']}", "Host: localhost")
    assert status(running.address.files, "PUT /x HTTP/1.1", *head, f"Content-Length: {LARGEST + 1}") == 413


def test_headers_have_an_end(running: RunningServer) -> None:
    answer = raw(running.address.api, f"GET /debug.ping HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 200_000}\r\n\r\n")
    assert answer[:12] in (b"", b"HTTP/1.1 400")
    assert status(running.address.api, "GET /debug.ping HTTP/1.1") == 200


@pytest.mark.parametrize("length", ["-1", "abc", "1, 2", "99999999999999999999999"])
def test_odd_lengths_are_refused(length: str, running: RunningServer) -> None:
    for url in (running.address.api, running.address.files):
        assert status(url, "POST /debug.ping HTTP/1.1", "Host: localhost", f"Content-Length: {length}") in (
            400,
            401,
            413,
        )


@pytest.mark.parametrize(("soft", "hard", "connections"), [(500, 1000, 800), (200, 200, 100), (64, 64, None)])
def test_connections_leave_room_for_files(soft: int, hard: int, connections: int | None) -> None:
    script = (
        "import resource; from clearml_hpo.server import serving; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        "print(serving._most_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
    if connections is None:
        assert "may have 64 files open; the server needs 100 (ulimit -n)" in done.stderr
    else:
        assert done.stdout.split() == [str(connections), str(hard)], done.stderr


# --- what stays -------------------------------------------------------------------------------------------------------


def test_the_access_log_has_neither_keys_nor_tokens_nor_queries(running: RunningServer) -> None:
    client = Client(running)
    token = client.call("auth.login")["token"]
    client.session.get(f"{running.address.api}/auth.login?secret=1", timeout=DEADLINE_S)
    status(
        running.address.api,
        "GET /tasks.get_types?token=x HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
    )
    text = (running.data_dir / "access.log").read_text()
    assert '127.0.0.1 api "GET /auth.login" 200 ' in text
    assert not any(secret in text for secret in (token, running.address.secret_key, running.address.access_key, "="))


def test_what_the_server_writes_is_its_owners_alone(running: RunningServer) -> None:
    Client(running).session.put(f"{running.address.files}/a/b.bin", b"x", timeout=DEADLINE_S)
    for path in running.data_dir.rglob("*"):
        if path.name not in ("server.log", "lock", "holds", "server.json"):  # of whoever started it; no secrets
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_an_error_inside_says_nothing_of_the_inside(running: RunningServer) -> None:
    answer = Client(running).session.post(f"{running.address.api}/tasks.get_by_id", data=b"{", timeout=DEADLINE_S)
    assert answer.status_code == 400 and "Traceback" not in answer.text and answer.json()["meta"]["error_stack"] is None


# --- who may reach it -------------------------------------------------------------------------------------------------


def test_other_machines_only_if_that_is_wanted() -> None:
    for host in ("0.0.0.0", "::", "10.1.2.3", "example.org"):
        with pytest.raises(InputError, match="--allow-remote"):
            Options(host=host)
        assert not Options(host=host, allow_remote=True).is_local
    assert all(Options(host=host).is_local for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"))


def test_the_commands_refuse_and_warn(tmp_path: Path) -> None:
    for command in ("run", "start"):
        refused = CliRunner().invoke(main, ["server", command, "--host", "0.0.0.0", "--data", str(tmp_path / "x")])
        assert refused.exit_code == 2 and "--allow-remote" in refused.output
    assert not (tmp_path / "x").exists()
    DataDir(tmp_path).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    wanted = ["--host", "0.0.0.0", "--allow-remote", "--task-timeout", "0", "--max-file-size", "1M", "--access-log"]
    try:
        started = CliRunner().invoke(main, ["server", "start", *wanted, "--data", str(tmp_path)])
        assert started.exit_code == 0 and "warning: listening on 0.0.0.0" in started.output
        found = json.loads(CliRunner().invoke(main, ["server", "status", "--json", "--data", str(tmp_path)]).output)
        assert status(found["api"], "GET /debug.ping HTTP/1.1", "Host: behind.a.proxy") == 200
        assert (tmp_path / "access.log").exists()
    finally:
        embedded.stop(tmp_path)


# --- who keeps it waiting ---------------------------------------------------------------------------------------------


class Impatient(PatientProtocol):
    headers_s = 0.3
    reading_s = 0.3


@contextmanager
def serving(protocol: type[PatientProtocol]) -> Iterator[str]:
    """The URL of an app that reads a body and answers with 64 MiB for ``/large``, else with its size."""

    async def app(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
        size, more = 0, True
        while more:
            message = await receive()  # type: ignore[operator]
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        body = b"x" * 2**26 if scope["path"] == "/large" else str(size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]

    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, lifespan="off", ws="none", log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([sock])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)


@pytest.mark.parametrize("sent", ["", "G", "GET / HTTP/1.1\r\nHost: x\r\nX"])
def test_who_sends_no_whole_headers_is_cut_off(sent: str) -> None:
    with serving(Impatient) as url:
        assert raw(url, sent) == b""


@pytest.mark.long
def test_who_begins_a_second_request_and_does_not_go_on_is_cut_off() -> None:
    with serving(Impatient) as url:
        answers = raw(url, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
        assert answers.count(b"HTTP/1.1 200") == 1


def test_who_does_not_read_an_answer_is_cut_off() -> None:
    with serving(Impatient) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=DEADLINE_S) as connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            deadline = time.monotonic() + DEADLINE_S
            cut_off = False
            while not cut_off and time.monotonic() < deadline:
                time.sleep(0.05)
                state = [c.status for c in psutil.Process().net_connections("tcp") if c.laddr[1] == address.port]
                cut_off = psutil.CONN_ESTABLISHED not in state
            assert cut_off
