"""Asks what may not answer, such as ``nvidia-smi`` beside a driver that hangs, in a thread beside the one that asks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Beside(Generic[_Answer]):
    """A question, asked now and then."""

    def __init__(self, question: Callable[[], _Answer], *, patience_s: float, good_for_s: float) -> None:
        """``question`` is waited for during ``patience_s``; an answer counts for ``good_for_s``."""
        self._question = question
        self._patience_s = patience_s
        self._good_for_s = good_for_s
        self._thread: threading.Thread | None = None
        self._answer: _Answer | None = None
        self._answered_at = -math.inf

    def ask(self) -> _Answer | None:
        """The last answer, if it still counts; asks anew, and waits, unless the question before is still open."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="question", daemon=True)
            self._thread.start()
            self._thread.join(self._patience_s)
        return self._answer if time.monotonic() - self._answered_at <= self._good_for_s else None

    def _run(self) -> None:
        self._answer, self._answered_at = self._question(), time.monotonic()
