"""The pages at the web port: what this server holds, for people. Plain HTML, no build step, nothing from outside.

They only read, and ask for no log-in: whoever can reach the port sees them. On loopback, where the server listens
unless told otherwise, these are the users of this machine; the web sites they visit are kept out. On a machine that is
shared with people who may not see names, parameters and consoles of tasks, that is too many: a log-in is to come.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from clearml_hpo.server.dispatch import Dispatcher
from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.hosts import is_from_elsewhere
from clearml_hpo.server.pages import html, views
from clearml_hpo.server.store import Store

__all__ = ["Pages"]

View = Callable[..., str]


class Pages:
    """The pages as an ASGI application. They only read."""

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self._store = store
        self._routes: list[tuple[re.Pattern[str], View]] = [
            (re.compile(r"^/$"), lambda: views.index(store, dispatcher)),
            (re.compile(r"^/projects/?$"), lambda: views.index(store, dispatcher)),
            # The links that the SDK prints.
            (
                re.compile(r"^/projects/[^/]+/(?:tasks|experiments)/(?P<task>[^/]+)(?:/.*)?$"),
                lambda task: views.task(store, task),
            ),
            (re.compile(r"^/tasks/(?P<task>[^/]+)$"), lambda task: views.task(store, task)),
            (re.compile(r"^/projects/(?P<project>[^/]+)(?:/.*)?$"), lambda project: views.project(store, project)),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        if is_from_elsewhere(scope):
            text = "This server is asked for by its name or address on this machine only, such as localhost."
            response = HTMLResponse(html.page("Not here", html.note(text)), 403)
        else:
            response = await run_in_threadpool(self._respond, scope["method"], scope["path"])
        response.headers["content-security-policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        await response(scope, receive, send)

    def _respond(self, method: str, path: str) -> HTMLResponse:
        if method not in ("GET", "HEAD"):
            return HTMLResponse(html.page("Not allowed", html.note("These pages only read.")), 405)
        for pattern, view in self._routes:
            found = pattern.match(path)
            if found:
                try:
                    with self._store.db.snapshot():
                        return HTMLResponse(view(**found.groupdict()))
                except ApiRefusal as refusal:
                    return HTMLResponse(html.page("Not found", html.note(str(refusal))), 404)
        return HTMLResponse(html.page("Not found", html.note(f"There is no page {path}")), 404)
