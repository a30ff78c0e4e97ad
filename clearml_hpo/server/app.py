"""The three ASGI applications over one store: the API, the file server and the pages."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.server.auth import Authority
from clearml_hpo.server.call_log import CallLog
from clearml_hpo.server.clock import Clock, utc_now
from clearml_hpo.server.credentials import Credentials
from clearml_hpo.server.dispatch import Answer, Dispatcher, Request
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.files import MAX_UPLOAD, FileServer
from clearml_hpo.server.pages import Pages
from clearml_hpo.server.registry import endpoints
from clearml_hpo.server.short_calls import is_short
from clearml_hpo.server.sizes import BATCH
from clearml_hpo.server.store import Store

_LARGEST_UNCHECKED = 2**16
_THREADS = 1  # two take three times the processor time, as SQLite gives Python's lock up at each row
_THREADS_OF_SECRETS = 2  # the hash of a secret takes 50 ms, without that lock


@dataclass(frozen=True)
class Apps:
    """One application per port, and what they share."""

    api: ASGIApp
    files: ASGIApp
    web: ASGIApp
    store: Store
    dispatcher: Dispatcher
    authority: Authority


def build(
    data_dir: Path,
    credentials: Credentials,
    clock: Clock = utc_now,
    *,
    max_upload: int = MAX_UPLOAD,
    allow_remote: bool = False,
    calls: Path | None = None,
) -> Apps:
    """Opens the store of ``data_dir`` and makes the applications.

    See ``Options`` for ``allow_remote``; in the folder ``calls`` each call is noted, see ``CallLog``.
    """
    store = Store(data_dir / "store.sqlite3", clock)
    authority = Authority(credentials, clock, store.keys)
    dispatcher = Dispatcher(endpoints(), store, authority, CallLog(calls, store.db) if calls else None)
    files = FileServer(data_dir / "files", authority, max_upload)
    return Apps(
        api=Api(dispatcher, authority),
        files=files,
        web=Pages(store, dispatcher, authority, files, data_dir=data_dir, allow_remote=allow_remote),
        store=store,
        dispatcher=dispatcher,
        authority=authority,
    )


class Api:
    """The API as an ASGI application: reads the body, calls the dispatcher in a thread, sends the answer."""

    def __init__(self, dispatcher: Dispatcher, authority: Authority, max_body: int = BATCH) -> None:
        self._dispatcher = dispatcher
        self._authority = authority
        self._max_body = max_body
        self._by_token = partial(to_thread.run_sync, limiter=CapacityLimiter(_THREADS))
        self._by_secret = partial(to_thread.run_sync, limiter=CapacityLimiter(_THREADS_OF_SECRETS))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        try:
            response = await self._respond(http, scope)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, http: HttpRequest, scope: MutableMapping[str, Any]) -> Response:
        refusal = await self._refusal_of_much(http)
        # What is refused is read all the same, and forgotten: who is cut off while sending does not see why.
        limit = min(self._max_body, self._dispatcher.largest_body(scope["path"]))
        body = await read_body(http, limit, self._max_body, keep=refusal is None)
        if body is None or refusal is not None:
            refused = self._dispatcher.refuse(scope["path"], refusal or ApiRefusal(Refusal.TOO_LARGE))
            headers = {"connection": "close"} if body is None else {}
            return Response(refused.body, refused.status, headers, media_type="application/json")
        request = Request(
            path=scope["path"],
            body=body,
            content_type=http.headers.get("content-type", ""),
            authorization=http.headers.get("authorization"),
            query=http.query_params,
            client=http.client.host if http.client else "",
            agent=http.headers.get("user-agent", ""),
            worker=http.headers.get("x-clearml-worker") or http.headers.get("x-trains-worker") or "",
        )
        answer = self._at_once(request)
        if answer is None:
            in_thread = self._by_secret if _has_secret(request.authorization) else self._by_token
            answer = await in_thread(self._dispatcher.answer, request)
        if answer.file_name is None:
            return Response(answer.body, answer.status, media_type="application/json")
        name = quote(answer.file_name, safe="")
        headers = {"content-disposition": f"attachment; filename={name}", "x-content-type-options": "nosniff"}
        return Response(answer.body, answer.status, headers, media_type="text/plain")

    def _at_once(self, request: Request) -> Answer | None:
        """The answer to a short call; None to one that could keep others waiting."""
        if not is_short(request.path, request.body):
            return None
        with self._dispatcher.unless_writing() as is_free:
            return self._dispatcher.answer(request) if is_free else None

    async def _refusal_of_much(self, http: HttpRequest) -> ApiRefusal | None:
        """Why the caller may not send a large body; None if it may, or sends a small one."""
        if _is_small(http.headers):
            return None
        authorization = http.headers.get("authorization")
        try:
            if _has_secret(authorization):
                await self._by_secret(self._authority.check_header, authorization)
            else:
                self._authority.check_header(authorization)
        except ApiRefusal as refusal:
            return refusal
        return None


def _has_secret(authorization: str | None) -> bool:
    return (authorization or "").lower().startswith("basic")


def _is_small(headers: Headers) -> bool:
    """Whether a body is announced to be small, or there is none."""
    length = headers.get("content-length") or "0"
    return "transfer-encoding" not in headers and length.isdecimal() and int(length) <= _LARGEST_UNCHECKED


async def read_body(http: HttpRequest, limit: int, most: int, *, keep: bool = True) -> bytes | None:
    """The body (empty unless ``keep``), or None if it is longer than ``limit`` bytes; at most ``most`` are read."""
    parts: list[bytes] = []
    size = 0
    async for part in http.stream():
        size += len(part)
        if size > most:
            return None
        if size > limit:
            parts.clear()
        elif keep:
            parts.append(part)
    return b"".join(parts) if size <= limit else None
