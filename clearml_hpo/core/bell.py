"""Wakes the thread that drives a study before its pause is over."""

from __future__ import annotations

import threading
import time

_GAP_S = 0.05
"""Least time between two ends of a wait: a study takes 20 steps a second at most, however often it is woken."""
_LOOK_S = 1.0
"""How often a wait looks at whether it is to end for good."""


class Bell:
    """Any thread rings it; the one thread that waits for it goes on."""

    def __init__(self, stopped: threading.Event) -> None:
        """``stopped`` ends every wait, within a second."""
        self._stopped = stopped
        self._rung = threading.Event()
        self._ended_at = 0.0

    def ring(self) -> None:
        """Ends the wait, or the next one if nobody waits now."""
        self._rung.set()

    def wait(self, seconds: float) -> bool:
        """Waits; true if it was rung or stopped before the time was over."""
        until = time.monotonic() + seconds
        while not self._stopped.is_set():
            left_s = until - time.monotonic()
            if self._rung.wait(max(0.0, min(left_s, _LOOK_S))):
                self._stopped.wait(max(0.0, self._ended_at + _GAP_S - time.monotonic()))
                self._rung.clear()
                self._ended_at = time.monotonic()
                return True
            if left_s <= _LOOK_S:
                return self._stopped.is_set()
        return True
