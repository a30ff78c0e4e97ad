"""Signals that ask a process to end."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the wish of another process, and a terminal that is closed."""


@contextlib.contextmanager
def handled(meanings: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Within the block a signal is a call of what it means.

    SIGHUP stays ignored where it was, as under nohup. In a thread other than the main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        meanings[signal.Signals(number)]()

    taken = [each for each in meanings if each != signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def set_soon(event: threading.Event) -> None:
    """Sets an event from a signal's handler, in another thread.

    The handler interrupts the main thread, which may hold the event's lock just then: it would wait for itself forever.
    ``_thread`` takes no lock to start a thread.
    """
    _thread.start_new_thread(event.set, ())


def interrupt() -> None:
    """What a signal means to whatever has no better way to end: the same as Ctrl-C."""
    raise KeyboardInterrupt
