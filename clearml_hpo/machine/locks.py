"""Locks of files, which end with the process that has them."""

from __future__ import annotations

import fcntl
import time
from typing import IO

_POLL_S = 0.05
"""Pause between two tries at a lock that another process has."""


def lock(file: IO[str], patience_s: float) -> bool:
    """Locks a file for this process, until it is closed; False if another process has it for all of that time."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True
