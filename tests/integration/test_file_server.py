"""Files on the file server: as the SDK sees them, and what is said when the server is in trouble."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from clearml_hpo.backend import file_server, http
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.file_server import FileServer
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.backend.template import create_template
from clearml_hpo.core.errors import ServerError
from clearml_hpo.scripts.code import collect
from clearml_hpo.scripts.entry import Entry
from clearml_hpo.workers.programs import archive_of

CONTENT = bytes(range(256)) * 9_000  # 2.3 MB
NAMES = ("plain/best.yaml", "with a space.bin", "größe/ü.txt")


@pytest.fixture
def api(server_environ, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    return Api()


@pytest.fixture
def troubled():
    """A file server that answers with what is put into ``answer`` of its handler: status, length that it says, body."""

    class Handler(BaseHTTPRequestHandler):
        answer = (200, 0, b"")
        asked = 0
        fails = 0  # so many of the first requests, with 503
        megabyte_s = 0.0
        headers_too: ClassVar = {}

        def do_GET(self):
            kind = type(self)
            kind.asked += 1
            left = int(self.headers.get("content-length") or 0)
            while left > 0:
                left -= len(self.rfile.read(min(left, 2**20)))
                time.sleep(kind.megabyte_s)
            status, length, body = (503, 0, b"") if kind.asked <= kind.fails else kind.answer
            self.send_response(status)
            for header in {"content-length": str(length), **kind.headers_too}.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_POST = do_DELETE = do_GET

        def log_message(self, *arguments):
            pass

    host = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    files = FileServer(f"http://127.0.0.1:{host.server_port}", True, lambda: None)
    files.handler = Handler
    yield files
    host.shutdown()
    host.server_close()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_stored_fetched_and_deleted(api, tmp_path, name):
    files, address, path = api.file_server, f"{api.files}/some/{name}", tmp_path / "copy"
    files.store(address, CONTENT)
    assert files.size(address) == len(CONTENT)
    files.fetch(address, path)
    assert path.read_bytes() == CONTENT
    files.delete(address)
    assert files.size(address) is None
    with pytest.raises(ServerError, match=r"cannot download .*: HTTP 404"):
        files.fetch(address, path)
    with pytest.raises(ServerError, match=r"cannot delete .*: HTTP 404"):
        files.delete(address)
    assert path.read_bytes() == CONTENT and [*tmp_path.iterdir()] == [path]


def test_the_sdk_finds_what_was_stored(api, tmp_path):
    from clearml import StorageManager

    address = f"{api.files}/some/with the sdk.bin"
    api.file_server.store(address, CONTENT)
    found = StorageManager.get_local_copy(address, force_download=True)
    assert Path(found).read_bytes() == CONTENT


def each_request(files, folder):
    """Every request to a file server, by what it is called in messages."""
    address = f"{files.url}/some/file.bin"
    return {
        "look at": lambda: files.size(address),
        "upload": lambda: files.store(address, CONTENT),
        "download": lambda: files.fetch(address, folder / "copy"),
        "delete": lambda: files.delete(address),
    }


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(file_server, "_PAUSES_S", (0.01, 0.01))


def test_a_server_that_has_gone_is_told(tmp_path, impatient):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    for wish, request in each_request(FileServer(f"http://127.0.0.1:{port}", True, lambda: None), tmp_path).items():
        with pytest.raises(ServerError, match=rf"cannot {wish} .*: no answer \(ConnectionError\)"):
            request()
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(("status", "tries"), [(503, 3), (429, 3), (403, 1)])
def test_what_a_server_refuses_is_told(troubled, tmp_path, impatient, status, tries):
    troubled.handler.answer = (status, 0, b"")
    for wish, request in each_request(troubled, tmp_path).items():
        troubled.handler.asked = 0
        with pytest.raises(ServerError, match=f"cannot {wish} .*: HTTP {status}"):
            request()
        assert troubled.handler.asked == (tries if wish in ("upload", "download") else 1)
    assert not [*tmp_path.iterdir()]


def test_a_server_that_comes_back_gets_and_gives_the_file(troubled, tmp_path, impatient):
    troubled.handler.answer = (200, 5, b"whole")
    for request in (each_request(troubled, tmp_path)[wish] for wish in ("upload", "download")):
        troubled.handler.asked, troubled.handler.fails = 0, 2
        request()
        assert troubled.handler.asked == 3
    assert (tmp_path / "copy").read_bytes() == b"whole"


def test_half_a_file_is_no_file(troubled, tmp_path, impatient):
    troubled.handler.answer = (200, 1000, b"half")
    troubled.handler.protocol_version = "HTTP/1.0"  # the connection ends where the server stops
    with pytest.raises(ServerError, match="cannot download"):
        troubled.fetch(f"{troubled.url}/file.bin", tmp_path / "copy")
    assert not [*tmp_path.iterdir()]


def test_an_upload_may_take_as_long_as_its_size_asks_for(troubled, monkeypatch):
    monkeypatch.setattr(file_server, "_TIMEOUT_S", (0.3, 5.0))
    monkeypatch.setattr(http, "_LEAST_BYTES_S", 2**20)
    troubled.handler.megabyte_s = 0.1
    troubled.store(f"{troubled.url}/large.bin", bytes(16 * 2**20))
    assert troubled.handler.asked == 1
    troubled.handler.answer = (200, 0, b"")
    assert (
        http._Connections(troubled.url, True, (0.3, 5.0)).post("events.add_batch", bytes(16 * 2**20), {}).status == 200
    )


def test_a_file_that_is_packed_stays_so(troubled, tmp_path):
    packed = gzip.compress(b"a,b\n")
    troubled.handler.answer = (200, len(packed), packed)
    troubled.handler.headers_too = {"content-encoding": "gzip"}
    troubled.fetch(f"{troubled.url}/a.csv.gz", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == packed


@pytest.mark.parametrize("status", [301, 302, 307])
def test_nobody_follows_the_file_server_to_another_place(troubled, tmp_path, status):
    troubled.handler.answer = (status, 0, b"")
    troubled.handler.headers_too = {"location": "http://127.0.0.1:9/log-in"}
    for wish, request in each_request(troubled, tmp_path).items():
        with pytest.raises(ServerError, match=f"cannot {wish} .*: it has moved to http://127.0.0.1:9/log-in"):
            request()
    assert troubled.handler.asked == 4 and not [*tmp_path.iterdir()]


def test_a_server_that_says_nothing_is_asked_once(troubled, tmp_path, monkeypatch):
    monkeypatch.setattr(file_server, "_TIMEOUT_S", (5.0, 0.2))
    monkeypatch.setattr(troubled.handler, "send_response", lambda *_: time.sleep(1.0))
    with pytest.raises(ServerError, match=r"no answer \(ReadTimeout\)"):
        troubled.fetch(f"{troubled.url}/file.bin", tmp_path / "copy")
    assert troubled.handler.asked == 1


def test_the_files_of_a_script_of_any_name_are_found_again(api, tmp_path):
    script = tmp_path / "train#1 %2F?.py"
    script.write_text("import beside\n")
    (tmp_path / "beside.py").write_text("x = 1\n")
    project = ensure_project(api, "files of a script")
    template = create_template(api, collect(Entry(script, tmp_path)), project)
    task = api.call("tasks.get_by_id", task=template.task_id)["task"]
    [artifact] = task["execution"]["artifacts"]
    assert api.file_server.size(artifact["uri"]) == artifact["content_size"]
    path, _ = archive_of(task)
    assert f"{api.files}{path}" == artifact["uri"]
