"""What all three applications have in common: who may ask by which name, how slow a body may be, the access log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearml_hpo.server.access_log import AccessLog
from clearml_hpo.server.hosts import is_from_elsewhere

GRACE_S = 30.0
"""Time for the body of a request before its average speed counts."""
SLOWEST = 1024  # bytes a second, on average, beyond the grace


class TooSlowError(Exception):
    """A body did not come in a reasonable time."""


@dataclass(frozen=True)
class Guard:
    """Stands before an application.

    Attributes:
        app: what is guarded.
        name: for the access log.
        log: where answered requests are written down; None: nowhere.
        any_host: also under names that are not this machine's own, as a proxy before the server asks for it.
        grace_s: a body must come at a kilobyte a second on average, once so many seconds are over.
        clock: seconds.
    """

    app: ASGIApp
    name: str
    log: AccessLog | None = None
    any_host: bool = False
    grace_s: float = GRACE_S
    clock: Callable[[], float] = time.monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        began, answer = self.clock(), _Answer(send)
        try:
            if not self.any_host and is_from_elsewhere(scope):
                text = "this server is asked for by a name or address of this machine only, such as localhost"
                await PlainTextResponse(text, 403)(scope, receive, answer)
            else:
                await self.app(scope, _Paced(receive, self), answer)
        except TooSlowError:
            if not answer.status:
                await PlainTextResponse("the body came too slowly", 408, {"connection": "close"})(
                    scope, receive, answer
                )
        finally:
            if self.log is not None:
                self.log.note(self.name, scope, answer.status, answer.size, self.clock() - began)


class _Answer:
    """Passes an answer on, and remembers what it was."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.size = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.size += len(message.get("body", b""))
        await self._send(message)


class _Paced:
    """Receives a body that keeps a pace."""

    def __init__(self, receive: Receive, guard: Guard) -> None:
        self._receive = receive
        self._guard = guard
        self._began: float | None = None  # when the application first asked for it: what waits for a thread is not late
        self._size = 0
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:  # what comes now is the end of the connection, for which applications wait as they like
            return await self._receive()
        if self._began is None:
            self._began = self._guard.clock()
        left_s = self._left_s(self._began)
        with anyio.move_on_after(left_s):
            if left_s <= 0:
                raise TooSlowError
            message = await self._receive()
            self._size += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            return message
        raise TooSlowError

    def _left_s(self, began: float) -> float:
        allowed = self._guard.grace_s + self._size / SLOWEST
        return allowed - (self._guard.clock() - began)
