"""Who asked for what, and what was answered: a line each, in a file that does not grow for ever."""

from __future__ import annotations

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
        self._path, self._largest = path, largest
        self._file = path.open("a", encoding="utf-8")

    def note(self, application: str, scope: Scope, status: int, size: int, seconds: float) -> None:
        """Writes a line; a status of 0 is a client that left before it had an answer."""
        client = scope["client"][0] if scope.get("client") else "-"
        what = f"{scope['method']} {quote(scope['path'], safe='/:@+,;=~', errors='replace')[:_LONGEST]}"
        now = self._clock().isoformat(timespec="milliseconds")
        line = f'{now} {client} {application} "{what}" {status} {size} {seconds * 1000:.1f}'
        self._write(f"{line}\n")

    def _write(self, line: str) -> None:
        # No handler of ``logging``: it asks the system twice a line how large the file is, and whoever configures
        # logging, as the web server does, closes it.
        if self._file.closed:
            return
        if self._file.tell() + len(line) >= self._largest:
            self._turn()
        self._file.write(line)
        self._file.flush()

    def _turn(self) -> None:
        """Begins a new file; those before it are ``.1`` to ``.3``."""
        self._file.close()
        names = [self._path, *(Path(f"{self._path}.{n}") for n in range(1, _KEPT + 1))]
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            if newer.exists():
                newer.replace(older)
        self._path.touch(mode=0o600)
        self._file = self._path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
