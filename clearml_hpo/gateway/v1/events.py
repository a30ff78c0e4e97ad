"""Changes of a study's trials as they happen: server-sent events, without a thread for each connection."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clearml_hpo.gateway.feed import Change, Feed
from clearml_hpo.gateway.service import LimitError, UnavailableError
from clearml_hpo.gateway.v1.rows import trial_row

_COMMENT_S = 15.0
"""Longest silence of a stream, so that neither a proxy nor a client takes it for dead; NGINX waits 65 s."""
_LOOK_S = 0.5
"""How often a stream looks at its token, at the end of the study and of the gateway: tokens are cached for 4 s."""
_SEND_S = 30.0
"""Longest time that a client may take to read what it is sent."""
_AT_ONCE = 100  # changes that are sent together
_MOST, _MOST_OF_TOKEN = 200, 10  # streams
_FULL_S = 30.0
"""After how long a client comes again that found all streams taken."""


class Streams:
    """The streams that are open; all methods are called in the event loop.

    Attributes:
        is_closed: whether all are to end.
    """

    def __init__(self, *, most: int = _MOST, most_of_token: int = _MOST_OF_TOKEN) -> None:
        """``most`` streams in all, ``most_of_token`` with one token."""
        self.is_closed = False
        self._most = most
        self._most_of_token = most_of_token
        self._open: Counter[str] = Counter()

    def close(self) -> None:
        """Ends all of them, within half a second."""
        self.is_closed = True

    def check(self, token: str) -> None:
        """Whether one more of this token (its id) may be opened.

        Raises:
            LimitError, UnavailableError: the token, or the gateway, has as many as it may.
        """
        if self._open[token] >= self._most_of_token:
            raise LimitError(f"this token has {self._open[token]} streams of events, and gets no more")
        if self.is_closed or self._open.total() >= self._most:
            raise UnavailableError(f"the gateway has {self._open.total()} streams of events, and no more", _FULL_S)

    @contextmanager
    def opened(self, token: str) -> Iterator[None]:
        """One more is open."""
        self._open[token] += 1
        try:
            yield
        finally:
            self._open[token] -= 1
            self._open += Counter()  # forgets those of none


class EventStream(Response):
    """``trial`` and ``withdrawn`` as they happen, then ``ended`` if the study has ended.

    It ends without a word when its token does not count any more, and when the gateway ends: who comes again with the
    id of the last event misses nothing.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: Streams,
        feed: Feed,
        *,
        token: str,
        after: int,
        ended: Callable[[], str],
        counts: Callable[[], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is sent yet.

        Args:
            token: id.
            after: the last change that the client knows.
            ended: why the study has ended; empty until it has.
            counts: whether the token still counts, and has the right.
            clock: seconds.
        """
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._feed = feed
        self._token = token
        self._seq = after
        self._ended = ended
        self._counts = counts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends events until there will be no more, or the client has gone."""
        woken, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(woken.set)

        with self._streams.opened(self._token), self._feed.waking(wake):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with anyio.create_task_group() as group:
                group.start_soon(self._until_gone, receive, group.cancel_scope)
                with suppress(TimeoutError):
                    await self._send_all(send, woken)
                group.cancel_scope.cancel()
            with suppress(TimeoutError), anyio.fail_after(_LOOK_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _send_all(self, send: Send, woken: asyncio.Event) -> None:
        spoke_at = self._clock()
        await self._write(send, ": follows\n\n")
        while not self._streams.is_closed and await self._counts():
            woken.clear()
            ended = self._ended()
            changes = self._feed.after(self._seq)
            for first in range(0, len(changes), _AT_ONCE):
                await self._write(send, "".join(map(_event, some := changes[first : first + _AT_ONCE])))
                self._seq = some[-1].seq
            if ended:
                await self._write(send, f"event: ended\ndata: {json.dumps({'reason': ended})}\n\n")
                return
            now = self._clock()
            if changes:
                spoke_at = now
            elif now - spoke_at >= _COMMENT_S:
                await self._write(send, ": still here\n\n")
                spoke_at = now
            with suppress(TimeoutError), anyio.fail_after(_LOOK_S):
                await woken.wait()

    async def _write(self, send: Send, text: str) -> None:
        with anyio.fail_after(_SEND_S):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _event(change: Change) -> str:
    if change.trial is None:
        return f"id: {change.seq}\nevent: withdrawn\ndata: {json.dumps({'number': change.number})}\n\n"
    return f"id: {change.seq}\nevent: trial\ndata: {trial_row(change.trial).model_dump_json()}\n\n"


def last_event(text: str) -> int:
    """The number of a header ``Last-Event-ID``; 0 for none, and for what is no number of a stream."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
