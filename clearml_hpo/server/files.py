"""The file server: what tasks upload is kept under one directory, and nothing outside it can be named."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

import python_multipart
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from clearml_hpo.server.auth import Authority
from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.hosts import is_of_another_site

MAX_UPLOAD = 64 * 2**30
MOST_PARTS = 1_000  # of a form
COOKIE = "clearml_token_basic"
_READING = ("GET", "HEAD")
# What a user uploaded is shown by a browser as what it says it is, and has no part in this server's pages.
_AS_DATA = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox allow-scripts"}


class BadUpload(Exception):
    """An upload that cannot be kept; the message says why."""


class TooLarge(Exception):
    """An upload that is larger than allowed."""


class FileServer:
    """Upload (``POST /`` as a form, or ``PUT`` or ``POST`` of a path), download, ``HEAD`` and ``DELETE``."""

    def __init__(self, root: Path, authority: Authority, max_upload: int = MAX_UPLOAD) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root.resolve()
        self._incoming = root.parent / "incoming"
        self._incoming.mkdir(exist_ok=True, mode=0o700)
        for path in self._incoming.iterdir():  # of uploads that were under way when the server was killed
            path.unlink()
        self._authority = authority
        self._max_upload = max_upload
        self._methods: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "GET": self._download,
            "HEAD": self._download,
            "POST": self._upload,
            "PUT": self._upload,
            "DELETE": self._delete,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        await response(_with_one_range(scope), receive, send)

    async def _respond(self, request: Request) -> Response:
        method = self._methods.get(request.method)
        if method is None:
            return PlainTextResponse("method not allowed", 405)
        try:
            await run_in_threadpool(self._check, request)
            return await method(request)
        except ApiRefusal as refusal:
            return PlainTextResponse(str(refusal), refusal.code)
        except TooLarge:
            text = f"the file is larger than {self._max_upload} bytes (--max-file-size)"
            return PlainTextResponse(text, 413, {"connection": "close"})
        except BadUpload as error:
            return PlainTextResponse(str(error), 400)
        except (python_multipart.exceptions.FormParserError, OSError) as error:
            # An OSError here is of a name (too long, a folder where a file should be) or of a full disk.
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return PlainTextResponse(f"cannot do that: {reason}", 400)

    def _check(self, request: Request) -> None:
        """Refuses a request without a valid token, in a header as the SDK sends it or in a cookie."""
        header, cookie = request.headers.get("authorization"), request.cookies.get(COOKIE)
        if not header and request.method not in _READING and is_of_another_site(request.scope):
            cookie = None  # a browser sends it along with whatever a page of another port has it send
        self._authority.check_header(header or (f"Bearer {cookie}" if cookie else None))

    def path_of(self, name: str) -> Path:
        """Where the file of that name is kept."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or not all(map(_may_be_name, parts)):
            raise BadUpload(f"not a file name: {name!r}")
        path = self._root.joinpath(*parts)
        if not path.resolve().is_relative_to(self._root):
            raise BadUpload(f"not a file name: {name!r}")
        return path

    async def _download(self, request: Request) -> Response:
        if request.scope["path"] == "/":
            return PlainTextResponse("ClearML files server")
        path = self.path_of(request.scope["path"])
        if not path.is_file():
            return PlainTextResponse("no such file", 404)
        return FileResponse(path, headers=_AS_DATA)

    async def _delete(self, request: Request) -> Response:
        path = self.path_of(request.scope["path"])
        if not path.is_file():
            return PlainTextResponse("no such file", 404)
        path.unlink()
        return PlainTextResponse("deleted")

    async def _upload(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_upload:
            raise TooLarge
        boundary = _boundary(request.headers)
        if boundary is not None:
            form = _Form(boundary, self._open)
            try:
                await self._pour(request, form.parser.write)
                form.parser.finalize()
                names = await run_in_threadpool(form.finish, self.path_of)
            finally:
                await run_in_threadpool(form.close)
            return PlainTextResponse("\n".join(names))
        path = self.path_of(request.scope["path"])
        file, temporary = self._open()
        try:
            with file:
                await self._pour(request, file.write)
            await run_in_threadpool(_keep, temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return PlainTextResponse(request.scope["path"])

    async def _pour(self, request: Request, write: Callable[[bytes], int]) -> None:
        """Has the parts of a body written by a thread: a form of many small parts is work, and a disk may be slow."""
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self._max_upload:
                raise TooLarge
            if part:
                await run_in_threadpool(write, part)

    def _open(self) -> tuple[BinaryIO, Path]:
        """A file that is not visible until it is whole."""
        path = self._incoming / secrets.token_hex(16)
        return path.open("xb"), path


def _may_be_name(part: str) -> bool:
    is_text = part == part.encode(errors="replace").decode()
    return is_text and part != ".." and "\0" not in part and "\\" not in part


class _Form:
    """Writes each file of a multipart form to disk as its bytes come in."""

    def __init__(self, boundary: bytes, open_file: Callable[[], tuple[BinaryIO, Path]]) -> None:
        self._open = open_file
        self._header, self._value = b"", b""
        self._disposition = b""
        self._whole = False
        self._parts: list[tuple[str, BinaryIO, Path]] = []
        self.parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def _begin(self) -> None:
        if len(self._parts) == MOST_PARTS:
            raise BadUpload(f"a form has {MOST_PARTS} parts at most")
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = python_multipart.multipart.parse_options_header(self._disposition)
        name = options.get(b"name") or options.get(b"filename") or b""
        file, path = self._open()
        self._parts.append((name.decode(errors="replace"), file, path))

    def _part_end(self) -> None:
        self._parts[-1][1].close()  # a form may have more parts than a process may have open files

    def _end(self) -> None:
        self._whole = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._parts[-1][1].write(data[start:end])

    def finish(self, path_of: Callable[[str], Path]) -> list[str]:
        """Puts the files in their places; returns their names."""
        if not self._parts or not self._whole:
            raise BadUpload("no file in the form, or the form is cut off")
        targets = [path_of(name) for name, _, _ in self._parts]
        for (_, file, temporary), target in zip(self._parts, targets, strict=True):
            file.close()
            _keep(temporary, target)
        return [name for name, _, _ in self._parts]

    def close(self) -> None:
        """Removes what was not put in its place."""
        for _, file, path in self._parts:
            file.close()
            path.unlink(missing_ok=True)


def _keep(temporary: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _move(temporary, target)
    except IsADirectoryError:
        raise BadUpload("there is a folder of that name") from None


def _move(source: Path, target: Path) -> None:
    """Puts a file in its place, whole at any moment, also where that is on another file system."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{secrets.token_hex(16)}")
        try:
            shutil.copyfile(source, beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)


def _boundary(headers: Headers) -> bytes | None:
    kind, options = python_multipart.multipart.parse_options_header(headers.get("content-type"))
    return options.get(b"boundary") if kind == b"multipart/form-data" else None


def _with_one_range(scope: Scope) -> Scope:
    """Several ranges at once are more work than use: who asks for them gets the whole file, as HTTP allows."""
    headers = [(name, value) for name, value in scope["headers"] if not (name == b"range" and b"," in value)]
    return {**scope, "headers": headers}
