"""Connections whose other end keeps the server waiting are closed, so that they do not hold a place for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import h11  # uvicorn's own parser: it bounds the size of headers, which its faster one does not

from clearml_hpo.machine.one_write import OneWriteProtocol

HEADERS_S = 30.0
"""Longest wait for the headers of a request, from the connection or their first byte on."""
READING_S = 120.0
"""Longest wait for a client to take a part of an answer."""
MOST_IDLE = 2048  # connections of one address between two requests


class PatientProtocol(OneWriteProtocol):
    """HTTP/1.1 with an end to waiting for headers, and for a client that does not read its answer.

    An address that has too many connections on which it asks nothing loses the one that is so for the longest time:
    one client cannot take all places. Bodies have a pace of their own, in ``guard``.
    """

    headers_s = HEADERS_S
    reading_s = READING_S
    most_idle = MOST_IDLE
    idle: ClassVar[dict[str, dict[PatientProtocol, None]]] = {}
    """By address, in the order in which they became so."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._headers, self._reading = _Limit(self.loop), _Limit(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has said nothing yet."""
        super().connection_made(transport)
        self._expect_headers()
        self._is_idle()

    def data_received(self, data: bytes) -> None:
        """Something came: a part of the headers, all of them, or of a body."""
        super().data_received(data)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._is_busy()
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

    def on_response_complete(self) -> None:
        """The answer is out; what comes next is another request, or nothing."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._is_idle()

    def _expect_headers(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self._headers.set(self.headers_s, self.transport.abort)
        else:
            self._headers.lift()
            self._is_busy()

    def _is_idle(self) -> None:
        alike = self.idle.setdefault(self._address, {})
        alike[self] = None
        if len(alike) > self.most_idle:
            oldest = next(iter(alike))
            oldest._is_busy()
            oldest.transport.abort()

    def _is_busy(self) -> None:
        alike = self.idle.get(self._address, {})
        alike.pop(self, None)
        if not alike:
            self.idle.pop(self._address, None)

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""


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
