"""How a user interrupts a study that is driven here."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clearml_hpo.machine import signals

_ONE_WISH_S = 1.0
"""Ctrl-C pressed again within this time counts once."""


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or SIGHUP sets, so that no call to the server is cut in half.

    A signal more than a second later interrupts; one that comes sooner is of the same wish.
    """
    stopped, asked_at = threading.Event(), math.inf

    def stop() -> None:
        nonlocal asked_at
        now = time.monotonic()
        if now - asked_at > _ONE_WISH_S:
            raise KeyboardInterrupt
        asked_at = min(asked_at, now)
        signals.set_soon(stopped)

    with signals.handled(dict.fromkeys(signals.ENDS, stop)):
        yield stopped
