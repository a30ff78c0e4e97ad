"""Log-in at a provider: authorisation code with PKCE (S256), state and nonce, by Authlib."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from httpx import HTTPError
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clearml_hpo.dashboard.access import NotAllowedError
from clearml_hpo.dashboard.site import Site
from clearml_hpo.gateway.auth.oidc import Provider, user_of
from clearml_hpo.gateway.auth.sessions import Sessions
from clearml_hpo.gateway.db import Database, audit
from clearml_hpo.gateway.pages.gate import address_of, session_of
from clearml_hpo.gateway.pages.login import with_session
from clearml_hpo.gateway.requests import Caller
from clearml_hpo.machine import settings

_log = logging.getLogger(__name__)


class ProviderLogin:
    """``/login/NAME`` leads to the provider, which leads back to ``/login/NAME/callback``.

    State, nonce and the verifier of PKCE are in a signed cookie for the minutes of the log-in. No token of the provider
    is kept.
    """

    def __init__(
        self, site: Site, providers: Mapping[str, Provider], database: Database, sessions: Sessions, caller: Caller
    ) -> None:
        """``site`` is that of pages for everybody."""
        self._site = site
        self._providers = providers
        self._database = database
        self._sessions = sessions
        self._caller = caller
        self._clients = OAuth()
        for name, provider in providers.items():
            self._clients.register(
                name,
                client_id=provider.client_id,
                client_secret=settings.secret(provider.secret) if provider.secret else None,
                server_metadata_url=f"{provider.issuer}/.well-known/openid-configuration",
                client_kwargs={
                    "scope": provider.scope,
                    "code_challenge_method": "S256",
                    **({} if provider.secret else {"token_endpoint_auth_method": "none"}),
                },
            )

    def routes(self) -> list[Route]:
        """Two for each provider."""
        return [
            route
            for name in self._providers
            for route in (
                Route(f"/login/{name}", self._guarded(name, self._leave)),
                Route(f"/login/{name}/callback", self._guarded(name, self._come_back)),
            )
        ]

    def _guarded(self, name: str, answer: Any) -> Any:
        async def answered(request: Request) -> Response:
            try:
                self._site.gate.refuse(request)
                found: Response = await answer(request, name)
            except NotAllowedError as error:
                found = self._refused(request, str(error))
            except (OAuthError, JoseError) as error:  # of the code, the state, the token: never what they hold
                _log.warning("log-in by %s refused: %s", name, type(error).__name__)
                found = self._refused(request, "The log-in was refused, or is of an earlier page. Try again.")
            except HTTPError as error:
                _log.warning("log-in by %s: the provider does not answer (%s)", name, type(error).__name__)
                found = self._refused(request, "The provider does not answer. Try again later.", 502)
            found.headers.setdefault("cache-control", "no-store")
            return found

        return answered

    async def _leave(self, request: Request, name: str) -> Response:
        back = f"{address_of(self._caller, request)}/login/{name}/callback"
        found: Response = await self._clients.create_client(name).authorize_redirect(request, back)
        return found

    async def _come_back(self, request: Request, name: str) -> Response:
        try:
            token = await self._clients.create_client(name).authorize_access_token(request)
            request.session.clear()
            claims = token.get("userinfo") or {}
            provider = self._providers[name]
            if claims.get("iss", "").rstrip("/") != provider.issuer:
                raise NotAllowedError("The log-in is of another provider.")
            return await run_in_threadpool(self._begin, request, provider, claims)
        except (
            JoseError,
            NotAllowedError,
        ) as error:  # what the provider sends; a callback without a token is no log-in
            await run_in_threadpool(self._note_refusal, request, f"{name}: {type(error).__name__}")
            raise

    def _begin(self, request: Request, provider: Provider, claims: Mapping[str, Any]) -> Response:
        user = user_of(self._database, provider, claims)
        if user is None:
            raise NotAllowedError(f"{provider.title} knows you, but you may not use this gateway. Ask its operator.")
        before, address = session_of(self._caller, request), self._caller.address(request)
        begun = self._sessions.begin_for(user.id, instead_of=before, address=address)
        return with_session(RedirectResponse("/studies", 303), begun, self._caller, request)

    def _note_refusal(self, request: Request, why: str) -> None:
        with self._database.write() as connection:
            audit.note(connection, "log-in refused", target=why, address=self._caller.address(request), ok=False)

    def _refused(self, request: Request, message: str, status: int = 403) -> Response:
        return self._site.page(request, "mistake.html", status, message=message)
