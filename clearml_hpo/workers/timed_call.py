"""Calls something that may hang, such as ``nvidia-smi``, in a helper thread, with a timeout and a cached answer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class TimedCall(Generic[_Answer]):
    """A function that is called now and then, one call at a time."""

    def __init__(self, function: Callable[[], _Answer], *, timeout_s: float, max_age_s: float) -> None:
        """Calls nothing yet.

        Args:
            function: runs in the helper thread.
            timeout_s: how long :meth:`answer` waits for it.
            max_age_s: how long an answer counts.
        """
        self._function = function
        self._timeout_s = timeout_s
        self._max_age_s = max_age_s
        self._thread: threading.Thread | None = None
        self._answer: _Answer | None = None
        self._answered_at = -math.inf

    def answer(self) -> _Answer | None:
        """The latest answer, or None if that is too old. Begins a new call unless the one before still hangs."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="timed call", daemon=True)
            self._thread.start()
            self._thread.join(self._timeout_s)
        return self._answer if time.monotonic() - self._answered_at <= self._max_age_s else None

    def _run(self) -> None:
        self._answer, self._answered_at = self._function(), time.monotonic()
