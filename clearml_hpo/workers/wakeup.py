"""Wakes a thread that waits: another thread sets it, or another process sends something."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterable

_MOST = 4096


class Wakeup:
    """An event that one thread waits for, together with descriptors."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)

    def set(self) -> None:
        """Ends the wait, or the next one if the thread does not wait now."""
        with contextlib.suppress(OSError):  # it is set already, or closed
            self._rung.send(b"!")

    def wait(self, seconds: float, others: Iterable[int] = ()) -> None:
        """Returns when it is set, when one of the descriptors ``others`` can be read, or when the time is over."""
        poll = select.poll()
        for descriptor in (self._heard.fileno(), *others):
            poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(_MOST)

    def close(self) -> None:
        """Closes the sockets; the thread waits no more."""
        self._heard.close()
        self._rung.close()
