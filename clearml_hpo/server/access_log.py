"""Who asked for what, and what was answered: a line each, in a file that does not grow for ever."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from urllib.parse import quote

from starlette.types import Scope

from clearml_hpo.server.clock import Clock, utc_now

_LARGEST, _KEPT = 10 * 2**20, 3
_LONGEST = 500


class AccessLog:
    """``time client application "METHOD /path" status bytes milliseconds``.

    Neither headers nor queries nor bodies are in it, so no keys or tokens.
    """

    def __init__(self, path: Path, clock: Clock = utc_now, largest: int = _LARGEST) -> None:
        """The file is followed by up to three older ones, each of about ``largest`` bytes."""
        self._clock = clock
        path.touch(mode=0o600)
        self._handler = logging.handlers.RotatingFileHandler(path, maxBytes=largest, backupCount=_KEPT)

    def note(self, application: str, scope: Scope, status: int, size: int, seconds: float) -> None:
        """Writes a line; a status of 0 is a client that left before it had an answer."""
        client = scope["client"][0] if scope.get("client") else "-"
        what = f"{scope['method']} {quote(scope['path'], safe='/:@+,;=~', errors='replace')[:_LONGEST]}"
        now = self._clock().isoformat(timespec="milliseconds")
        line = f'{now} {client} {application} "{what}" {status} {size} {seconds * 1000:.1f}'
        self._write(f"{line}\n")

    def _write(self, line: str) -> None:
        # As the handler's own `emit` does, which asks the system twice a line how large the file is.
        file = self._handler.stream
        if file is not None and file.tell() + len(line) >= self._handler.maxBytes:
            self._handler.doRollover()
            file = self._handler.stream
        if file is not None:  # else the log is closed
            file.write(line)
            file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()
