"""The pages as an ASGI application: who may come in, which page answers, which headers go with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from clearml_hpo.server.auth import Authority
from clearml_hpo.server.dispatch import Dispatcher
from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.files import FileServer
from clearml_hpo.server.pages import gate, login, render
from clearml_hpo.server.pages.routes import OPEN, ROUTES, Route
from clearml_hpo.server.pages.visit import Mistake, Parts, Visit
from clearml_hpo.server.store import Store

_log = logging.getLogger(__name__)
_LARGEST_FORM = 8 * 2**20
_LARGEST_OPEN_FORM = 2**14  # of a user who has not logged in
# Plotly sets styles as it draws; there is no other way for it. Nothing comes from, or goes to, anywhere else.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Pages:
    """The pages as an ASGI application."""

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        authority: Authority,
        files: FileServer,
        *,
        data_dir: Path | None = None,
        allow_remote: bool = False,
    ) -> None:
        """With ``allow_remote`` any name will do, and everybody logs in: a proxy may be at the other end."""
        self._parts = Parts(store, dispatcher, authority, files, None if allow_remote else data_dir)
        self._allow_remote = allow_remote
        self._may_enter = gate.has_session if allow_remote else gate.may_enter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            response = await self._respond(scope, receive)
        except ClientDisconnect:
            return
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("cache-control", "no-store")
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        try:
            route, names = self._checked(scope)
            if route not in OPEN and not await run_in_threadpool(self._may_enter, scope, self._parts.authority):
                return _to_login(scope)
            view = _view(route, scope["method"])
            largest = _LARGEST_OPEN_FORM if route in OPEN else _LARGEST_FORM
            form = await _form(Request(scope, receive), largest) if view is route.order else b""
            visit = Visit(
                *(self._parts, scope["path"], names, QueryParams(scope["query_string"]), QueryParams(form)),
                is_encrypted=scope["scheme"] == "https",
            )
            return await run_in_threadpool(_run, view, visit, reads=view is route.show)
        except Mistake as mistake:
            return render.page("mistake.html", mistake.status, message=str(mistake))

    def _checked(self, scope: Scope) -> tuple[Route, dict[str, str]]:
        """The page that is asked for, and the names in its path; raises Mistake if it may not be asked for so."""
        if not self._allow_remote and gate.is_foreign(scope):
            raise Mistake(
                "This server answers only requests that name it by an address of this machine, such as localhost.", 403
            )
        route, names = _find(scope["path"])
        if route is None:
            raise Mistake(f"There is no page {scope['path']!r:.200}", 404)
        if scope["method"] == "POST" and not gate.is_own_order(scope):
            raise Mistake("Only this server's own pages may send changes.", 403)
        return route, names


def _find(path: str) -> tuple[Route | None, dict[str, str]]:
    for route in ROUTES:
        found = route.pattern.match(path)
        if found:
            return route, found.groupdict()
    return None, {}


def _view(route: Route, method: str) -> Callable[[Visit], Response]:
    views = {"GET": route.show, "HEAD": route.show, "POST": route.order}
    view = views.get(method)
    if view is None:
        raise Mistake(f"{method:.20} is not possible here", 405)
    return view


def _run(view: Callable[[Visit], Response], visit: Visit, *, reads: bool) -> Response:
    try:
        if not reads:
            return view(visit)
        with visit.store.db.snapshot():
            return view(visit)
    except ApiRefusal as refusal:
        raise Mistake(str(refusal), 404 if reads else 400) from None
    except Mistake:
        raise
    except Exception:
        _log.exception("%s failed", visit.path)
        raise Mistake("This page failed; the server's log says why.", 500) from None


async def _form(request: Request, largest: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise Mistake(f"the form is larger than {largest // 2**10} KB", 413)
        parts.append(part)
    return b"".join(parts)


def _to_login(scope: Scope) -> Response:
    if scope["method"] == "POST":
        raise Mistake("Log in first.", 403)
    query = scope["query_string"].decode("latin-1")
    wanted = quote(scope["path"], safe="/*;=,") + (f"?{query}" if query else "")
    return RedirectResponse(f"{login.PATH}?next={quote(wanted, safe='')}", 303)
