"""What all pages have: a gate before them, forms within bounds, mistakes as pages, headers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clearml_hpo.core.errors import ClearmlHpoError, InputError
from clearml_hpo.dashboard import render
from clearml_hpo.dashboard.access import Gate, NotAllowedError
from clearml_hpo.dashboard.changes import to_json

_LARGEST_FORM = 2**20
_LOG = logging.getLogger(__name__)
# Plotly sets styles as it draws; there is no other way for it. Nothing comes from, or goes to, anywhere else.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_Answer = Callable[[Request], Response]
_FormAnswer = Callable[[Request, Mapping[str, str]], Response]


class Site:
    """Pages behind one gate."""

    def __init__(self, gate: Gate, *packages: str) -> None:
        """``packages`` whose templates are used before the dashboard's own."""
        self.gate = gate
        self._packages = packages

    def route(self, path: str, answer: _Answer) -> Route:
        """Answers GET, in a thread."""

        async def answered(request: Request) -> Response:
            return await run_in_threadpool(self._guarded, request, answer)

        return Route(path, answered)

    def form_route(self, path: str, answer: _FormAnswer) -> Route:
        """Answers a POST of a form of at most 1 MiB; the gate finds it in ``request.state.form``."""

        async def answered(request: Request) -> Response:
            length = request.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > _LARGEST_FORM:
                text = "The form is too large, or does not say how large it is."
                return _with_headers(self._mistake(request, text, 413))
            form = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
            request.state.form = form
            return await run_in_threadpool(self._guarded, request, lambda request: answer(request, form))

        return Route(path, answered, methods=["POST"])

    def page(self, request: Request, template: str, /, code: int = 200, **values: Any) -> Response:
        """A whole page, with what its layout says of the visitor."""
        return render.page(template, code, self._packages, **self.gate.visitor(request), **values)

    def _guarded(self, request: Request, answer: _Answer) -> Response:
        try:
            return _with_headers(self.gate.refuse(request) or answer(request))
        except NotAllowedError as error:
            return _with_headers(self._mistake(request, str(error), 403))
        except InputError as error:
            return _with_headers(self._mistake(request, str(error), 404 if request.method == "GET" else 400))
        except ClearmlHpoError as error:
            return _with_headers(self._mistake(request, f"The ClearML server is in trouble: {error}", 502))
        except KeyError as error:
            return _with_headers(self._mistake(request, f"There is no {error.args[0]!r:.80} here.", 404))
        except Exception:
            _LOG.exception("%s failed", request.url.path)
            return _with_headers(self._mistake(request, "This page failed; the log of the dashboard says why.", 500))

    def _mistake(self, request: Request, message: str, status: int) -> Response:
        """A page, or what a script takes."""
        accepted = request.headers.get("accept", "")
        if "application/json" in accepted or (request.method == "POST" and "text/html" not in accepted):
            return json_answer({"told": message}, status)
        return self.page(request, "mistake.html", status, message=message)


def json_answer(value: Any, status: int = 200) -> Response:
    """For a page's script."""
    return Response(to_json(value), status, media_type="application/json")


def _with_headers(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers.setdefault("cache-control", "no-store")
    return answer
