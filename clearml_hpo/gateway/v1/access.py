"""Who a request of the native API is from, and whether that may be."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from clearml_hpo.gateway.auth import Principal, Right
from clearml_hpo.gateway.bodies import read_object
from clearml_hpo.gateway.limits import Limits
from clearml_hpo.gateway.requests import Caller, read_body
from clearml_hpo.gateway.service import ForbiddenError
from clearml_hpo.gateway.threads import Threads


class BoundedRoute(APIRoute):
    """A route whose body is JSON within bounds, see ``bodies``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Reads the body first. Raises InputError and what ``read_body`` raises."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if self.body_field is not None:
                request._body = await read_body(request)  # where the handler looks for it
                if request._body:
                    read_object(request._body)
            return await handle(request)

        return bounded


class Access:
    """Checks the token of each request, and has it wait for its turn."""

    def __init__(self, caller: Caller, limits: Limits, threads: Threads) -> None:
        self._caller = caller
        self._limits = limits
        self._threads = threads

    async def who(self, request: Request, kind: str = "report", *, finishes: bool = False) -> Principal:
        """Whom a request is from.

        Args:
            kind: which limit counts, see ``limits.PACES``.
            finishes: an expired token may do it with its own trials.

        Raises:
            RefusedTokenError: the token does not count.
            LimitError: it comes too often.
        """
        found = await self._threads.run("report", lambda: self._caller.by_header(request, may_be_expired=finishes))
        await self._limits.wait(kind, found)
        return found


def check_right(who: Principal, right: Right, study: str = "") -> None:
    """Raises ForbiddenError: the token has not this right, in the study or without one in the whole project."""
    if not who.rights.allow(right, study):
        raise ForbiddenError(f"this token has no right {right.value} here")
