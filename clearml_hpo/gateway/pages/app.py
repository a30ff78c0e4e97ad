"""The pages as one application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.dashboard import Dashboard
from clearml_hpo.dashboard.site import Site
from clearml_hpo.gateway.auth import Tokens
from clearml_hpo.gateway.auth.sessions import Sessions
from clearml_hpo.gateway.db import Database
from clearml_hpo.gateway.hosting import Hosting
from clearml_hpo.gateway.pages import PACKAGE
from clearml_hpo.gateway.pages.gate import LoginGate, SessionGate
from clearml_hpo.gateway.pages.guide import guide_routes
from clearml_hpo.gateway.pages.login import login_routes
from clearml_hpo.gateway.pages.outside import HandedOut
from clearml_hpo.gateway.pages.tokens import TokenPages
from clearml_hpo.gateway.requests import Caller

_SMALLEST_ZIPPED = 1024  # bytes


class Pages:
    """Answers ``PATHS``."""

    def __init__(self, hosting: Hosting, database: Database, tokens: Tokens, caller: Caller) -> None:
        """Nothing is read before somebody looks."""
        sessions = Sessions(database)
        gate = SessionGate(sessions, caller, database)
        site = Site(gate, PACKAGE)
        self.dashboard = Dashboard(gate, HandedOut(hosting, database, gate))
        routes = [
            *login_routes(Site(LoginGate(caller), PACKAGE), site, sessions, caller),
            *TokenPages(site, gate, database, tokens, caller).routes(),
            *guide_routes(site, gate, caller),
            *self.dashboard.routes(),
        ]
        self._app: ASGIApp = GZipMiddleware(Starlette(routes=routes), minimum_size=_SMALLEST_ZIPPED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._app(scope, receive, send)
