"""Errors of the native API: JSON of RFC 9457, ``application/problem+json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from clearml_hpo.gateway.auth.token_text import without_secrets

PREFIX = "/api/v1"
_MOST_FAULTS = 20


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object) -> Response:
    """An answer that says what is wrong; never a token, which a client may have put in a wrong place."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(without_secrets(json.dumps(content)), status, dict(headers or {}), "application/problem+json")


def of_validation(request: Request, error: Exception) -> Response:
    """A body that has not the form; each fault with where it is and what is allowed, but not what was sent."""
    assert isinstance(error, RequestValidationError)
    faults = [{"at": ".".join(map(str, each["loc"])), "fault": each["msg"]} for each in error.errors()[:_MOST_FAULTS]]
    detail = "; ".join(f"{fault['at']}: {fault['fault']}" for fault in faults)
    sent = request.headers.get("content-type", "")
    if request.method != "GET" and "json" not in sent:  # curl -d sends a form
        detail = f"found Content-Type: {sent or 'none'}; send JSON, with -H 'Content-Type: application/json'"
    return problem(422, detail, faults=faults)
