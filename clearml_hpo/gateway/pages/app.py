"""The pages as one application."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.dashboard import Dashboard
from clearml_hpo.dashboard.site import Site
from clearml_hpo.gateway.auth import Tokens
from clearml_hpo.gateway.auth.oidc import Provider
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
_COOKIE = "gateway-login"
_LOGIN_S = 600
"""How long a log-in at a provider may take."""


class Pages:
    """Answers ``PATHS``."""

    def __init__(
        self,
        hosting: Hosting,
        database: Database,
        tokens: Tokens,
        caller: Caller,
        *,
        providers: Mapping[str, Provider] | None = None,
        secret: str = "",
    ) -> None:
        """Nothing is read before somebody looks; ``secret`` signs the cookie of a log-in at one of ``providers``."""
        providers = providers or {}
        sessions = Sessions(database)
        gate = SessionGate(sessions, caller, database)
        site, anyone = Site(gate, PACKAGE), Site(LoginGate(caller), PACKAGE)
        self.dashboard = Dashboard(gate, HandedOut(hosting, database, gate))
        routes = [
            *login_routes(anyone, site, sessions, caller, {name: each.title for name, each in providers.items()}),
            *TokenPages(site, gate, database, tokens, caller).routes(),
            *guide_routes(site, gate, caller),
            *self.dashboard.routes(),
        ]
        if providers:
            from clearml_hpo.gateway.pages.oidc import ProviderLogin  # Authlib takes a moment to import

            routes += ProviderLogin(anyone, providers, database, sessions, caller).routes()
        app: ASGIApp = Starlette(routes=routes)
        if providers:
            app = SessionMiddleware(
                app, secret, session_cookie=_COOKIE, max_age=_LOGIN_S, path="/login", same_site="lax"
            )
        self._app: ASGIApp = GZipMiddleware(app, minimum_size=_SMALLEST_ZIPPED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._app(scope, receive, send)
