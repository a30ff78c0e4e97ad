"""The web application: routes of the wires, errors, and a log without tokens."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearml_hpo import remote
from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.gateway import redact
from clearml_hpo.gateway.auth import RefusedTokenError, Tokens
from clearml_hpo.gateway.auth.token_text import without_secrets
from clearml_hpo.gateway.hopaas.routes import HopaasRoutes
from clearml_hpo.gateway.limits import Limits
from clearml_hpo.gateway.pages import PATHS
from clearml_hpo.gateway.requests import Caller, TooLargeError, TooSlowError
from clearml_hpo.gateway.service import (
    ConflictError,
    ForbiddenError,
    LimitError,
    NotFoundError,
    Service,
    ServiceError,
    UnavailableError,
)
from clearml_hpo.gateway.threads import Threads
from clearml_hpo.gateway.v1.problems import PREFIX, of_validation, problem

_LOG = logging.getLogger(__name__)
_ACCESS = logging.getLogger("clearml_hpo.gateway.access")
_STATUS: Mapping[type[Exception], int] = {
    RefusedTokenError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    TooSlowError: 408,
    ConflictError: 409,
    TooLargeError: 413,
    InputError: 422,
    LimitError: 429,
    UnavailableError: 503,
    GatewayError: 503,
}
_AGAIN_S = 5
"""After how long a client is told to try again when the database is away."""
_NO_TOKEN = "invalid token: none in the header Authorization, unknown, expired, revoked, or not of kind api"
_HOPAAS = re.compile(r"/api/(ask|should_prune|tell|mark_as_failed|get_best_trial)/[^/]+$")
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def build_app(
    service: Service,
    tokens: Tokens,
    *,
    version: str,
    hopaas: bool = False,
    v1: Callable[[Caller, Limits, Threads], APIRouter] | None = None,
    pages: Callable[[Caller], ASGIApp] | None = None,
    limits: Limits | None = None,
    proxies: frozenset[str] = frozenset(),
) -> ASGIApp:
    """The application.

    Args:
        service: what the wires call.
        tokens: whom requests are from.
        version: of this package.
        hopaas: with the routes of Hopaas, whose tokens stand in paths.
        v1: makes the routes of the native API.
        pages: makes the application that answers ``PATHS``.
        limits: how often a token may call.
        proxies: addresses, beside loopback, whose ``X-Forwarded-*`` headers are believed.
    """
    app = FastAPI(
        title="clearml-hpo gateway",
        version=version,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect repeats the path, token included
    )
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
    caller, limits, threads = Caller(tokens, proxies), limits or Limits(), Threads()
    if v1 is not None:
        app.include_router(v1(caller, limits, threads))
        app.add_exception_handler(RequestValidationError, of_validation)

    if pages is not None:
        shown = pages(caller)
        app.router.routes += [Route(path, shown) for path in PATHS]

    @app.get("/client.py", include_in_schema=False)
    def client() -> Response:
        return Response(Path(remote.__file__).read_bytes(), media_type="text/x-python")

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return Response()

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        faults = service.faults()
        return _answer({"ready": not faults, "faults": list(faults)}, 503 if faults else 200)

    if not hopaas:
        return _Outermost(app)
    # Without the layers of FastAPI, which cost a tenth of a call.
    first = Router(
        HopaasRoutes(service, caller, limits, version, threads).routes(), redirect_slashes=False, default=app
    )
    return _Outermost(ExceptionMiddleware(first, _ANSWERS))


class _Outermost:
    """Folds doubled slashes, answers what fails, and writes one line for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = re.sub("/{2,}", "/", scope["path"])
        began, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = [*message.get("headers", ())]
                names = {name.lower() for name, _ in given}  # pages have stricter ones of their own
                own = [(key.encode(), value.encode()) for key, value in _HEADERS.items() if key.encode() not in names]
                message = {**message, "headers": [*given, *own]}
            await send(message)

        try:
            await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, sending)
        except Exception as error:
            _LOG.error("%s %s failed:\n%s", scope["method"], redact.route(path), redact.trace(error))
            if not status:
                await _answer({"detail": "internal error"}, 500)(scope, receive, sending)
        finally:
            _ACCESS.info(
                "%s %s %d %.1f ms", scope["method"], redact.route(path), status, 1000 * (time.monotonic() - began)
            )


def _refuse(request: Request, error: Exception) -> Response:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    headers: dict[str, str] = {}
    retry_s = error.retry_s if isinstance(error, ServiceError) else None
    if isinstance(error, GatewayError):
        _LOG.error("%s", without_secrets(str(error)))
        return _refusal(request, status, "the database is away", {"retry-after": str(_AGAIN_S)})
    if isinstance(error, RefusedTokenError):
        detail = _NO_TOKEN if request.url.path.startswith(f"{PREFIX}/") else "invalid token"
        return _refusal(request, status, detail, {"www-authenticate": "Bearer"})  # why is in the audit
    if retry_s is not None:
        headers["retry-after"] = str(math.ceil(retry_s))
    return _refusal(request, status, str(error), headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404 and _HOPAAS.match(request.url.path):  # with its routes there is no such 404
        detail = "this gateway does not serve Hopaas; its operator starts it with: gateway run --hopaas"
    return _refusal(request, error.status_code, detail, error.headers)


_ANSWERS = {**dict.fromkeys(_STATUS, _refuse), HTTPException: _http_error}


def _refusal(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """In the form of the wire that was asked."""
    if request.url.path.startswith(f"{PREFIX}/"):
        return problem(status, detail, headers)
    return _answer({"detail": detail}, status, headers)


def _answer(content: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, dict(headers or {}), "application/json")
