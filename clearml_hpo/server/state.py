"""What a data directory says about the server on it: keys, the lock, where it listens, who holds it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine.locks import lock
from clearml_hpo.machine.settings import ServerAddress
from clearml_hpo.server.credentials import Credentials
from clearml_hpo.server.holds import Holds


@dataclass(frozen=True)
class Listening:
    """Where a server listens, or listened the last time.

    Attributes:
        pid: its process; 0 where it is known to be ending or gone.
        held: it ends when no process holds it any more.
        webapp: the build of ClearML's web app that it serves in place of its own pages; empty: none.
    """

    pid: int
    host: str
    api: int
    files: int
    web: int
    held: bool = False
    webapp: str = ""

    @property
    def ports(self) -> tuple[int, int, int]:
        """The ports of API, files and web."""
        return self.api, self.files, self.web

    def address(self, credentials: Credentials) -> ServerAddress:
        """The URLs and the key pair."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        shown = f"[{host}]" if ":" in host else host
        return ServerAddress(
            api=f"http://{shown}:{self.api}",
            web=f"http://{shown}:{self.web}",
            files=f"http://{shown}:{self.files}",
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
        )


_PATIENCE_S = 0.5
"""Longest wait for the lock of a data directory: a process that only asks whether a server runs has it for a moment."""


@dataclass(frozen=True)
class DataDir:
    """The files of one server."""

    path: Path

    @property
    def log(self) -> Path:
        """Where a detached server writes what it has to say."""
        return self.path / "server.log"

    @property
    def database(self) -> Path:
        """What the server remembers."""
        return self.path / "store.sqlite3"

    @property
    def credentials_file(self) -> Path:
        """The owner's key pair, and the key that signs tokens."""
        return self.path / "credentials.json"

    @property
    def holds(self) -> Holds:
        """Who needs the server, if it was started to end with those who do."""
        return Holds(self.path / "holds")

    def make(self) -> None:
        """Makes the directory, for its owner only."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ServerError(f"cannot use {self.path} for the server's data: {error.strerror}") from None

    def credentials(self) -> Credentials:
        """The keys, made at first start."""
        return Credentials.load_or_make(self.credentials_file)

    def listening(self) -> Listening | None:
        """What the last server on this directory noted, whether or not it still runs."""
        try:
            return Listening(**json.loads((self.path / "server.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def note(self, listening: Listening) -> None:
        """Notes where this server listens; the file is whole at any moment."""
        temporary = self.path / f"server.json.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(listening)))
        temporary.replace(self.path / "server.json")

    def end_unless_held(self) -> bool:
        """Notes that the server ends now if it is one that is held, and no process holds it; returns whether it ends.

        A process that takes a hold takes it before this, or finds no server afterwards.
        """
        with self.holds.agreed():
            listening = self.listening()
            if listening is None or not listening.held or self.holds.any():
                return False
            self.note(replace(listening, pid=0))
            return True

    def keep(self) -> bool:
        """Makes a server that is held one that stays; returns False if it is ending already."""
        with self.holds.agreed():
            listening = self.listening()
            if listening is None or not listening.pid:
                return False
            if listening.held:
                self.note(replace(listening, held=False))
            return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for one server."""
        with (self.path / "lock").open("w") as file:
            if not lock(file, _PATIENCE_S):
                raise ServerError(
                    f"another server already runs on {self.path}; "
                    "`clearml-hpo server status` shows it, `clearml-hpo server stop` ends it"
                )
            yield

    @property
    def is_served(self) -> bool:
        """Whether a server holds the directory; nothing is made where none ever was."""
        return (self.path / "lock").exists() and self.is_locked()

    def is_locked(self) -> bool:
        """Whether a server holds the directory."""
        with (self.path / "lock").open("w") as file:
            return not lock(file, 0)
