"""The dashboard on a real port of loopback."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import uvicorn

from clearml_hpo.dashboard import Dashboard

_Found = TypeVar("_Found")
_PATIENCE_S = 60.0


def eventually(found: Callable[[], _Found]) -> _Found:
    """What ``found`` returns, once that is true."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < deadline, f"never: {found}"
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def serving(dashboard: Dashboard) -> Iterator[str]:
    """Serves it for as long as the block lasts; its address."""
    server = uvicorn.Server(uvicorn.Config(dashboard, port=0, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_PATIENCE_S)
        leave(dashboard)


def leave(dashboard: Dashboard) -> None:
    """Nobody looks any more: its threads end."""
    readers: list[Any] = [*dashboard._readers._readers.values()]
    for reader in readers:
        reader._looked_at = float("-inf")
    eventually(lambda: all(reader._thread is None for reader in readers))
