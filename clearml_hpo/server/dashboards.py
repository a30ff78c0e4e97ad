"""The dashboard that shows a server's studies notes its port in the data directory, so that the pages lead there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from clearml_hpo.machine.locks import lock

_NAME = "dashboard"
_PATIENCE_S = 0.5
"""Longest wait of a dashboard for its note, which a page that looks for one has for a moment."""


@contextlib.contextmanager
def noted(data_dir: Path, port: int) -> Iterator[None]:
    """Notes a dashboard for as long as the block lasts; one that is noted already stays."""
    with (data_dir / _NAME).open("a+") as file:
        if lock(file, _PATIENCE_S):
            file.truncate(0)
            file.write(str(port))
            file.flush()
        yield


def port_of(data_dir: Path) -> int | None:
    """The port of the dashboard that runs, on this machine's 127.0.0.1; None if none does."""
    with contextlib.suppress(OSError, ValueError), (data_dir / _NAME).open("r+") as file:
        if not lock(file, 0):
            return int(file.read())
    return None
