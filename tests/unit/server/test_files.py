"""The file server, without a socket."""

from __future__ import annotations

import resource
import tempfile
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from clearml_hpo.server.auth import Authority
from clearml_hpo.server.files import MOST_PARTS, BadUpload, FileServer

from .server_without_sockets import Api


@pytest.fixture
def files(tmp_path: Path, api: Api) -> FileServer:
    return FileServer(tmp_path / "files", Authority(api.credentials, api.tick), max_upload=1000)


def send(
    files: FileServer, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """One request, in chunks of 7 bytes; status, body and headers of the answer."""
    chunks = [body[i : i + 7] for i in range(0, len(body), 7)] or [b""]
    answer: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not chunks:
            await anyio.sleep_forever()
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def transmit(message: Any) -> None:
        answer.append(message)

    scope = {
        **{"type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http"},
        **{"server": ("127.0.0.1", 80), "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()]},
    }
    anyio.run(files, scope, receive, transmit)
    found = {key.decode(): value.decode() for key, value in answer[0]["headers"]}
    return answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:]), found


def form(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    body = b"".join(
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in parts
    )
    return body + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


def upload(files: FileServer, api: Api, name: str, data: bytes) -> int:
    body, kind = form((name, data))
    return send(files, "POST", "/", body, **{"content-type": kind, "authorization": api.bearer})[0]


def test_upload_as_the_sdk_does_and_download(files: FileServer, api: Api) -> None:
    data = bytes(range(256)) * 2
    assert upload(files, api, "a project/sub dir/ü.bin", data) == 200
    head = {"authorization": api.bearer}
    assert send(files, "GET", "/a project/sub dir/ü.bin", **head)[:2] == (200, data)
    assert send(files, "GET", "/a project/sub dir/ü.bin", range="bytes=1-3", **head)[:2] == (206, data[1:4])
    status, body, headers = send(files, "HEAD", "/a project/sub dir/ü.bin", **head)
    assert (status, body, headers["content-length"]) == (200, b"", "512")
    assert send(files, "DELETE", "/a project/sub dir/ü.bin", **head)[0] == 200
    assert send(files, "GET", "/a project/sub dir/ü.bin", **head)[0] == 404


@pytest.mark.parametrize(
    ("asked", "status", "part", "content_range"),
    [
        ("bytes=0-0", 206, slice(0, 1), "0-0/100"),
        ("bytes=90-", 206, slice(90, 100), "90-99/100"),
        ("bytes=-10", 206, slice(90, 100), "90-99/100"),
        ("bytes=50-1000", 206, slice(50, 100), "50-99/100"),
        ("bytes=100-", 416, slice(0, 0), "*/100"),
        ("bytes=0-1,5-6", 200, slice(0, 100), None),
        ("bytes=" + ",".join(["0-0"] * 10_000), 200, slice(0, 100), None),
        ("", 200, slice(0, 100), None),
    ],
)
def test_ranges(asked: str, status: int, part: slice, content_range: str | None, files: FileServer, api: Api) -> None:
    data = bytes(range(100))
    send(files, "PUT", "/x", data, authorization=api.bearer)
    headers = {"authorization": api.bearer, **({"range": asked} if asked else {})}
    got, body, found = send(files, "GET", "/x", **headers)
    assert got == status
    assert found.get("content-range", "").removeprefix("bytes ") == (content_range or "")
    if status != 416:
        assert (body, found["content-length"]) == (data[part], str(len(data[part])))


@pytest.mark.parametrize("asked", ["bytes", "bytes=", "bytes=x", "bytes=5-1", "lines=0-1", "bytes=--1", "bytes=-"])
def test_odd_ranges(asked: str, files: FileServer, api: Api) -> None:
    send(files, "PUT", "/x", b"data", authorization=api.bearer)
    assert send(files, "GET", "/x", authorization=api.bearer, range=asked)[0] in (200, 206, 400, 416)


def test_upload_of_a_path(files: FileServer, api: Api) -> None:
    for method in ("PUT", "POST"):
        assert send(files, method, "/some/file", method.encode(), authorization=api.bearer)[0] == 200
        assert send(files, "GET", "/some/file", authorization=api.bearer)[1] == method.encode()


def test_nothing_without_a_token(files: FileServer, api: Api) -> None:
    assert send(files, "GET", "/x")[0] == 401
    assert send(files, "PUT", "/x", b"data", authorization="Bearer wrong")[0] == 401
    cookie = f"clearml_token_basic={api.bearer.split()[1]}"
    assert send(files, "GET", "/x", cookie=cookie)[0] == 404


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/..", "..", "", "/", ".", "a\0b", "..\\out", "x" * 300, "/" * 10]
)
def test_names_cannot_leave_the_directory(name: str, files: FileServer, api: Api, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if "incoming" not in path.parts)
    assert upload(files, api, name, b"data") == 400
    assert send(files, "PUT", f"/{name}", b"data", authorization=api.bearer)[0] == 400
    assert sorted(path for path in tmp_path.rglob("*") if "incoming" not in path.parts) == before


def test_a_link_out_of_the_directory_is_not_followed(files: FileServer, tmp_path: Path) -> None:
    (tmp_path / "files" / "link").symlink_to(tmp_path)
    with pytest.raises(BadUpload):
        files.path_of("link/x")


def test_too_large(files: FileServer, api: Api, tmp_path: Path) -> None:
    assert upload(files, api, "big", b"x" * 2000) == 413
    assert send(files, "PUT", "/big", b"x" * 1001, authorization=api.bearer)[0] == 413
    assert send(files, "PUT", "/small", b"x" * 1000, authorization=api.bearer)[0] == 200
    answer = send(files, "PUT", "/big", b"x" * 2000, authorization=api.bearer, **{"content-length": "2000"})
    assert answer[0] == 413
    assert not list((tmp_path / "incoming").iterdir())


def test_a_form_may_have_more_parts_than_there_may_be_open_files(api: Api, tmp_path: Path) -> None:
    files = FileServer(tmp_path / "files", Authority(api.credentials, api.tick))
    body, kind = form(*((f"many/{number}", b"x") for number in range(100)))
    before = len(list(Path("/proc/self/fd").iterdir()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))
    try:
        status = send(files, "POST", "/", body, **{"content-type": kind, "authorization": api.bearer})[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert status == 200
    assert len(list((tmp_path / "files" / "many").iterdir())) == 100


@pytest.mark.parametrize("parts", [MOST_PARTS, MOST_PARTS + 1])
def test_a_form_has_a_number_of_parts(parts: int, api: Api, tmp_path: Path) -> None:
    files = FileServer(tmp_path / "files", Authority(api.credentials, api.tick))
    body, kind = form(*((f"many/{number}", b"") for number in range(parts)))
    status, said, _ = send(files, "POST", "/", body, **{"content-type": kind, "authorization": api.bearer})
    assert (status, b"1000 parts at most" in said) == ((200, False) if parts == MOST_PARTS else (400, True))
    assert not list((tmp_path / "incoming").iterdir())


@pytest.mark.parametrize("head", [b"X: " + b"x" * 20_000, b"X" * 20_000 + b": x", b"\r\n".join([b"X: x"] * 10_000)])
def test_the_headers_of_a_part_have_an_end(head: bytes, files: FileServer, api: Api, tmp_path: Path) -> None:
    body = b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n' + head + b"\r\n\r\ndata\r\n--xyz--\r\n"
    files._max_upload = 2**20
    given = {"content-type": "multipart/form-data; boundary=xyz", "authorization": api.bearer}
    status, said, _ = send(files, "POST", "/", body, **given)
    assert status == 400 and b"header" in said
    assert not list((tmp_path / "incoming").iterdir())


def test_a_body_is_written_by_threads_and_not_by_the_loop(files: FileServer, api: Api, monkeypatch: Any) -> None:
    """What a form holds is work, and a disk may be slow: other requests are answered meanwhile."""
    writers = set()
    opened = FileServer._open

    def noting(self: FileServer) -> Any:
        writers.add(threading.get_ident())
        return opened(self)

    monkeypatch.setattr(FileServer, "_open", noting)
    assert upload(files, api, "a.bin", b"data") == 200
    assert writers and threading.get_ident() not in writers


def test_files_may_be_on_another_file_system(api: Api, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("this machine has one file system")
        (tmp_path / "moved").mkdir()
        (tmp_path / "moved" / "files").symlink_to(other)
        files = FileServer(tmp_path / "moved" / "files", Authority(api.credentials, api.tick))
        assert upload(files, api, "a folder/a.bin", b"data") == 200
        assert send(files, "PUT", "/a folder/a.bin", b"new", authorization=api.bearer)[0] == 200
        assert send(files, "GET", "/a folder/a.bin", authorization=api.bearer)[1] == b"new"
        assert send(files, "PUT", "/a folder", b"x", authorization=api.bearer)[0] == 400, "a folder of that name"
        assert [path.name for path in Path(other).rglob("*")] == ["a folder", "a.bin"]
        assert not list((tmp_path / "moved" / "incoming").iterdir())


def test_uploads_that_were_cut_off_are_forgotten_at_the_next_start(api: Api, tmp_path: Path) -> None:
    (tmp_path / "incoming" / "part").write_bytes(b"x")
    FileServer(tmp_path / "files", Authority(api.credentials, api.tick))
    assert not list((tmp_path / "incoming").iterdir())


def test_what_was_uploaded_is_no_page_of_this_server(files: FileServer, api: Api) -> None:
    upload(files, api, "x.html", b"<script>")
    headers = send(files, "GET", "/x.html", authorization=api.bearer)[2]
    assert headers["x-content-type-options"] == "nosniff" and "sandbox" in headers["content-security-policy"]


@pytest.mark.parametrize("body", [b"", b"nonsense", b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\ncut'])
def test_broken_forms(body: bytes, files: FileServer, api: Api, tmp_path: Path) -> None:
    head = {"content-type": "multipart/form-data; boundary=xyz", "authorization": api.bearer}
    assert send(files, "POST", "/", body, **head)[0] == 400
    assert not list((tmp_path / "incoming").iterdir())


def test_a_cookie_writes_nothing_for_pages_of_another_port(files: FileServer, api: Api) -> None:
    body, kind = form(("a.bin", b"data"))
    cookie = {"cookie": f"clearml_token_basic={api.bearer.removeprefix('Bearer ')}", "host": "localhost:8081"}
    for origin, status in (("http://localhost:9999", 401), ("http://localhost:8081", 200)):
        given = {**cookie, "origin": origin, "content-type": kind}
        assert send(files, "POST", "/", body, **given)[0] == status
    assert send(files, "GET", "/a.bin", **cookie, origin="http://localhost:9999")[0] == 200
