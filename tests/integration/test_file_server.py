"""Files on the file server: as the SDK sees them, and what is said when the server is in trouble."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clearml_hpo.backend import file_server
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.file_server import FileServer
from clearml_hpo.core.errors import ServerError

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

        def do_GET(self):
            kind = type(self)
            kind.asked += 1
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, length, body = (503, 0, b"") if kind.asked <= kind.fails else kind.answer
            self.send_response(status)
            self.send_header("content-length", str(length))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_POST = do_DELETE = do_GET

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    files = FileServer(f"http://127.0.0.1:{http.server_port}", True, lambda: None)
    files.handler = Handler
    yield files
    http.shutdown()
    http.server_close()


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
