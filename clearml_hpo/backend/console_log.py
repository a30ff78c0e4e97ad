"""What a controller says while it drives, put on its task's console a batch now and then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from clearml_hpo.backend.controller_task import ControllerTask

_PERIOD_S = 15.0
"""Least time between two calls that send the controller's lines to the console of its task."""
_MOST_LINES = 5_000  # that wait for a server in trouble
_MILLISECOND = 0.001


class ConsoleLog:
    """Lines that wait to be sent; threads may add some."""

    def __init__(self, task: ControllerTask, *, clock: Callable[[], float] = time.time) -> None:
        self._task = task
        self._clock = clock
        self._lines: deque[tuple[float, str]] = deque(maxlen=_MOST_LINES)
        self._sent_at = clock()
        self._last = 0.0

    def add(self, text: str) -> None:
        """Adds a line. Each has a millisecond of its own: in one of them a server keeps no order."""
        self._last = max(self._clock(), self._last + _MILLISECOND)
        self._lines.append((self._last, text))

    def send(self, *, at_once: bool = False) -> None:
        """Sends what waits, in one call every 15 seconds or ``at_once``; what is refused waits for the next time.

        Raises:
            ApiError: the server refused the call.
        """
        now = self._clock()
        if not self._lines or (now - self._sent_at < _PERIOD_S and not at_once):
            return
        lines = list(self._lines)
        self._sent_at = now
        self._task.report(log=lines)
        for _ in lines:
            self._lines.popleft()
