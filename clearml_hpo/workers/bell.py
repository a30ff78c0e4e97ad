"""Wakes a thread that waits: rung by other threads, or by what another process has to say."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterable

_MOST = 4096


class Bell:
    """Waited for by one thread."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)

    def ring(self) -> None:
        """Ends the wait, or the next one if nobody waits now."""
        with contextlib.suppress(OSError):  # it rings already, or nobody will wait again
            self._rung.send(b"!")

    def wait(self, seconds: float, others: Iterable[int] = ()) -> None:
        """Returns when it rings, when one of the descriptors ``others`` can be read, or when the time is over."""
        poll = select.poll()
        for descriptor in (self._heard.fileno(), *others):
            poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(_MOST)

    def close(self) -> None:
        """Nobody waits any more."""
        self._heard.close()
        self._rung.close()
