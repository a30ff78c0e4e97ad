"""Messages between a warm parent and the worker: JSON objects over a socket, one per line."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

_READ_BYTES = 256 * 1024


class Channel:
    """One end of the connection.

    Attributes:
        closed: True if the other end is gone.
    """

    def __init__(self, end: socket.socket) -> None:
        """``end`` is a blocking socket of a connected pair."""
        self.closed = False
        self._socket = end
        self._rest = b""

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._socket.fileno()

    def send(self, **message: Any) -> None:
        """Sends one message; does nothing if the other end is gone."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.closed = True

    def received(self, *, wait: bool = False) -> list[dict[str, Any]]:
        """The messages that have arrived; with ``wait`` at least one, unless the other end is gone."""
        messages = self._read(0 if wait else socket.MSG_DONTWAIT)
        while wait and not messages and not self.closed:
            messages = self._read(0)
        return messages

    def close(self) -> None:
        """Closes the connection; the other end notices it."""
        self.closed = True
        self._socket.close()

    def _read(self, flags: int) -> list[dict[str, Any]]:
        with contextlib.suppress(BlockingIOError):
            try:
                while not self.closed:
                    found = self._socket.recv(_READ_BYTES, flags)
                    self.closed = not found
                    self._rest += found
                    if not flags and b"\n" in found:
                        break
            except ConnectionResetError:
                self.closed = True
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]
