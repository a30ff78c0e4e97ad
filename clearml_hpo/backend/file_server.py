"""ClearML's file server over HTTP, without the SDK, which would ask one that does not answer again for hours."""

from __future__ import annotations

import mimetypes
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from clearml_hpo.backend.http import http_session, sending_s
from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine.settings import is_local

_TIMEOUT_S = (5.0, 60.0)
"""Longest waits for a connection to the file server, and for the next bytes of its answer."""
_LOOKED_AT_S = 10
"""Longest wait for the headers of a stored file."""
_BUCKETS = ("s3://", "gs://", "azure://")
_PORTS = {"http": 80, "https": 443}
# Libraries differ in where the host's name ends, what they strip, and which folder it is.
_ODD = re.compile(r"[\x00-\x1f\x7f#]|^[^/]*//[^/]*[@\\]|/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_PAUSES_S = (1.0, 3.0)
"""Waits between the tries to upload or download one file while the server is in trouble."""
_SHOWN = 200
_PIECE = 2**20  # bytes


class FileServer:
    """Files on the file server that is configured.

    What fails is told after seconds, and is no reason to wait: a study can end without its file server.

    Attributes:
        url: its address.
    """

    def __init__(self, url: str, verify: bool | str, token: Callable[[], AuthBase]) -> None:
        """``verify`` is as requests takes it; ``token`` is asked for the log-in before each request."""
        self.url = url.rstrip("/")
        self._verify = verify
        self._token = token

    def check(self, address: str) -> None:
        """Refuses the address of a stored file that is neither on this file server nor in a bucket.

        Any other one would have this machine read its own files, or call other hosts: any writer to a task chooses it.

        Raises:
            ServerError: it is refused.
        """
        given, files = _split(address), urlsplit(self.url)
        is_same = (_host(given.hostname), _port(given)) == (_host(files.hostname), _port(files))
        if address.startswith(_BUCKETS) or (
            address.startswith(f"{files.scheme}://") and is_same and not _ODD.search(address.partition("?")[0])
        ):
            return
        raise ServerError(
            f"{address[:_SHOWN]!r} is neither on the file server {self.url} nor in a bucket ({', '.join(_BUCKETS)})"
        )

    def size(self, address: str) -> int | None:
        """Bytes of a file; None if it is not there.

        Raises:
            ServerError: the server does not answer, does not say, or is another one.
        """
        with self._answer("HEAD", address, "look at", timeout=_LOOKED_AT_S) as answer:
            if answer.status_code == requests.codes.not_found:
                return None
            _check(answer, "look at", address)
            return int(answer.headers.get("content-length", 0))

    def store(self, address: str, content: bytes) -> None:
        """Uploads a file, by a form as the SDK does.

        Raises:
            ServerError: the server does not take the file, does not answer, or is another one.
        """
        path = address.removeprefix(f"{self.url}/")
        form = {path: (path, content, mimetypes.guess_type(path)[0] or "application/octet-stream")}
        timeout = (sending_s(_TIMEOUT_S[0], len(content)), _TIMEOUT_S[1])

        def send() -> None:
            with self._answer("POST", address, "upload", at=self.url, files=form, timeout=timeout) as answer:
                _check(answer, "upload", address)

        _with_tries(send)

    def fetch(self, address: str, path: Path) -> None:
        """Downloads a file; ``path`` is not there before it is whole.

        Raises:
            ServerError: the server does not give the file, does not answer, or is another one.
        """
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        as_it_is = {"Accept-Encoding": "identity"}  # a file that is packed itself stays so

        def receive() -> None:
            with self._answer("GET", address, "download", stream=True, headers=as_it_is) as answer:
                _check(answer, "download", address)
                with part.open("wb") as file:
                    file.writelines(answer.raw.stream(_PIECE, decode_content=False))

        try:
            _with_tries(receive)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def delete(self, address: str) -> None:
        """Deletes a file.

        Raises:
            ServerError: it has to stay, or the server does not answer or is another one.
        """
        with self._answer("DELETE", address, "delete") as answer:
            _check(answer, "delete", address)

    @contextmanager
    def _answer(
        self, method: str, address: str, wish: str, *, at: str = "", **options: Any
    ) -> Iterator[requests.Response]:
        """The answer to one request, which is sent to ``at`` or to the address itself."""
        self.check(address)
        options = {"timeout": _TIMEOUT_S, "allow_redirects": False, **options}
        # Another server of the same host is not shown the token.
        auth = self._token() if address.startswith(f"{self.url}/") else None
        try:
            with (
                http_session(address, self._verify) as session,
                session.request(method, at or address, auth=auth, **options) as answer,
            ):
                yield answer
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            kind = ServerError if isinstance(error, requests.ReadTimeout) else _Trouble  # that was a minute already
            raise kind(f"cannot {wish} {address}: no answer ({type(error).__name__})") from None


class _Trouble(ServerError):
    """The server does not answer, or says that it cannot now: another try may succeed."""


def _check(answer: requests.Response, wish: str, address: str) -> None:
    if answer.is_redirect:  # a log-in page, or another host, which nobody has checked
        raise ServerError(f"cannot {wish} {address}: it has moved to {answer.headers['location'][:_SHOWN]}")
    if answer.status_code != requests.codes.ok:
        is_trouble = answer.status_code >= 500 or answer.status_code == requests.codes.too_many_requests
        kind = _Trouble if is_trouble else ServerError
        raise kind(f"cannot {wish} {address}: HTTP {answer.status_code}")


def _with_tries(request: Callable[[], None]) -> None:
    for pause_s in _PAUSES_S:
        try:
            return request()
        except _Trouble:
            time.sleep(pause_s)
    request()


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # such as half of a pair of brackets: it is on no host
        return SplitResult("", "", "", "", "")


def _host(name: str | None) -> str:
    """A host's name; all names of this machine are one."""
    return "localhost" if name is not None and is_local(f"http://{_bracketed(name)}") else name or ""


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _port(address: SplitResult) -> int | None:
    try:
        return address.port or _PORTS.get(address.scheme)
    except ValueError:  # no number
        return None
