"""Connections whose other end keeps the server waiting are closed, so that they do not hold a place for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11  # uvicorn's own parser: it bounds the size of headers, which its faster one does not
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 30.0  # for the headers of a request, from the connection or their first byte on
READING_S = 120.0  # for a client to take a part of an answer


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with an end to waiting for headers, and for a client that does not read its answer.

    Bodies have a pace of their own, in ``guard``.
    """

    headers_s = HEADERS_S
    reading_s = READING_S

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._headers, self._reading = _Limit(self.loop), _Limit(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has said nothing yet."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Something came: a part of the headers, all of them, or of a body."""
        super().data_received(data)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._headers.lift()
        self._reading.lift()

    def pause_writing(self) -> None:
        """The client takes the answer more slowly than it is made."""
        super().pause_writing()
        self._reading.set(self.reading_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken what there was."""
        super().resume_writing()
        self._reading.lift()

    def _expect_headers(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self._headers.set(self.headers_s, self.transport.abort)
        else:
            self._headers.lift()


class _Limit:
    """Something happens unless the limit is lifted in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, act: Callable[[], None]) -> None:
        """Sets it; one that is set stays as it is."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, act)

    def lift(self) -> None:
        """Lifts it, if it is set."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
