"""The three ASGI applications over one store: the API, the file server and the pages."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.server.auth import Authority, Credentials
from clearml_hpo.server.clock import Clock, utc_now
from clearml_hpo.server.dispatch import Dispatcher, Request
from clearml_hpo.server.files import FileServer
from clearml_hpo.server.pages import Pages
from clearml_hpo.server.registry import endpoints
from clearml_hpo.server.store import Store

MAX_BODY = 64 * 2**20


@dataclass(frozen=True)
class Apps:
    """One application per port, and what they share."""

    api: ASGIApp
    files: ASGIApp
    web: ASGIApp
    store: Store
    dispatcher: Dispatcher


def build(data_dir: Path, credentials: Credentials, clock: Clock = utc_now) -> Apps:
    """Opens the store of ``data_dir`` and makes the applications."""
    store = Store(data_dir / "store.sqlite3", clock)
    authority = Authority(credentials, clock)
    dispatcher = Dispatcher(endpoints(), store, authority)
    files = FileServer(data_dir / "files", authority)
    return Apps(
        api=Api(dispatcher),
        files=files,
        web=Pages(store, dispatcher, authority, files),
        store=store,
        dispatcher=dispatcher,
    )


class Api:
    """The API as an ASGI application: reads the body, calls the dispatcher in a thread, sends the answer."""

    def __init__(self, dispatcher: Dispatcher, max_body: int = MAX_BODY) -> None:
        self._dispatcher = dispatcher
        self._max_body = max_body

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
        body = await read_body(http, self._max_body)
        if body is None:
            return Response("the body is too large", status_code=413, headers={"connection": "close"})
        request = Request(
            path=scope["path"],
            body=body,
            content_type=http.headers.get("content-type", ""),
            authorization=http.headers.get("authorization"),
            query=http.query_params,
            client=http.client.host if http.client else "",
        )
        answer = await run_in_threadpool(self._dispatcher.answer, request)
        return Response(answer.body, answer.status, media_type="application/json")


async def read_body(http: HttpRequest, limit: int) -> bytes | None:
    """The body, or None if it is longer than ``limit`` bytes."""
    if int(http.headers.get("content-length") or 0) > limit:
        return None
    parts, size = [], 0
    async for part in http.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)
