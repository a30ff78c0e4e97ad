"""Who still needs a server that shall end with those who asked for it.

Each holder has a file in ``holds/`` on which it keeps a lock. The kernel gives the lock up when the process ends, in
whatever way, and does not hand it on to children; so a hold neither outlives its process nor passes to another one
that came to the same number.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# The holds of this process, by directory: closing such a file, which losing sight of it would do, ends the hold.
_mine: dict[tuple[int, Path], IO[str]] = {}


@dataclass(frozen=True)
class Holds:
    """The holds on one data directory. What changes or counts them does so inside :meth:`agreed`."""

    path: Path

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """One process at a time: none takes a hold while another decides that there are no more."""
        self.path.mkdir(exist_ok=True, mode=0o700)
        with (self.path / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def take(self) -> None:
        """Makes this process a holder; one that is a holder stays one."""
        key = (os.getpid(), self.path)
        if key not in _mine:
            file = (self.path / f"{uuid.uuid4().hex}.hold").open("w")
            fcntl.lockf(file, fcntl.LOCK_EX)
            file.write(f"{os.getpid()}\n")  # for users
            file.flush()
            _mine[key] = file

    def drop(self) -> None:
        """Gives up the hold of this process, if it has one."""
        file = _mine.pop((os.getpid(), self.path), None)
        if file is not None:
            Path(file.name).unlink(missing_ok=True)
            file.close()

    def any(self) -> bool:
        """Whether there is a holder; files of those that are gone are removed."""
        mine = _mine.get((os.getpid(), self.path))
        for path in self.path.glob("*.hold"):
            # Not to be opened once more: closing any of a process's handles on a file ends all its locks on it.
            if (mine is not None and path == Path(mine.name)) or _is_locked(path):
                return True
            path.unlink(missing_ok=True)
        return False


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
