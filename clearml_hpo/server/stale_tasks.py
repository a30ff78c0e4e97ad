"""Stops tasks whose worker fell silent, so that no study waits for what a dead machine was running."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from clearml_hpo.server.clock import Clock
from clearml_hpo.server.store.lifecycle import Lifecycle

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 30.0
"""Longest pause between two looks for running tasks that no longer report."""
_MISSED = 5  # looks in a row


class StaleTaskWatchdog:
    """Looks now and then for tasks of which nothing was heard.

    Silence counts only while this process listened: after its start, or a gap between two looks (a machine that was
    asleep, a clock that was set), each task and worker has the whole time again.
    """

    def __init__(self, lifecycle: Lifecycle, clock: Clock, timeout_s: float) -> None:
        self._lifecycle = lifecycle
        self._clock = clock
        self._timeout = timedelta(seconds=timeout_s)
        self.pause_s = min(_LONGEST_PAUSE_S, timeout_s / 10)
        self._listening_since = self._looked = clock()

    def look(self) -> list[str]:
        """Stops what was silent for too long; returns the ids of those tasks."""
        now = self._clock()
        if abs(now - self._looked) > timedelta(seconds=self.pause_s) * _MISSED:
            self._listening_since = now
        self._looked = now
        if now - self._listening_since < self._timeout:
            return []
        return self._lifecycle.stop_silent(self._timeout)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Looks from a thread of its own for as long as the block lasts."""
        ended = threading.Event()
        thread = threading.Thread(target=self._look_until, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _look_until(self, ended: threading.Event) -> None:
        while not ended.wait(self.pause_s):
            try:
                for task in self.look():
                    _log.warning("task %s was stopped: nothing was heard of it for %s", task, self._timeout)
            except Exception:  # a full disk, say: the next look may find more room
                _log.exception("looking for silent tasks failed")
