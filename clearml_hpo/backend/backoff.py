"""What to do when a server is in trouble: ask again, less and less often."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from clearml_hpo.core.errors import ApiError, UnreachableError, is_trouble
from clearml_hpo.core.notes import Note

_LONGEST_WAIT_S = 60.0
"""Longest wait between two calls to a server in trouble, if the poll period is not longer."""
_SAID_EVERY = 10
_HURRY_S = 30.0
"""After Ctrl-C a server in trouble is asked again for this long at most."""
_HURRIED_WAIT_S = 3.0
"""Longest wait between two calls to a server in trouble after Ctrl-C."""
_Answer = TypeVar("_Answer")


class Backoff:
    """How long to wait before the next round of calls.

    Attributes:
        wait_s: the poll period while all is well; after each failure up to twice as long, up to a minute. Controllers
            that lost the same server do not come back to it all at once: each waits between half and all of that time.
    """

    def __init__(
        self, poll_s: float, on_note: Callable[[str], None], *, jitter: Callable[[], float] = random.random
    ) -> None:
        """``jitter`` draws from 0 to 1."""
        self.wait_s = self._longest_s = self._poll_s = poll_s
        self._on_note = on_note
        self._jitter = jitter
        self._failures = 0

    def succeeded(self) -> None:
        """The server answered."""
        if self._failures > 1:
            self._on_note("the server answers again")
        self._failures = 0
        self.wait_s = self._longest_s = self._poll_s

    def failed(self, error: ApiError | UnreachableError) -> None:
        """The server is in trouble (out of reach, 5xx, 429); an error of any other kind is raised again."""
        if not is_trouble(error):
            raise error
        before, limit_s = self._longest_s, max(self._poll_s, _LONGEST_WAIT_S)
        self._longest_s = min(2 * before, limit_s)
        self.wait_s = max(self._poll_s, self._longest_s * (1 + self._jitter()) / 2)
        self._failures += 1
        # In an outage of hours a line a minute says nothing new.
        if before < limit_s or self._failures % _SAID_EVERY == 0:
            self._on_note(Note(f"{error}; asking again in {self.wait_s:.0f} s", level="warning"))


def with_backoff(call: Callable[[], _Answer], on_note: Callable[[str], None], stopped: threading.Event) -> _Answer:
    """What ``call`` returns, which is made again and again while the server is in trouble.

    Once ``stopped`` is set the user is in a hurry: then for half a minute at most.

    Raises:
        ApiError: the server refused the call, or is still in trouble half a minute after ``stopped`` was set.
        UnreachableError: the same of a server to log in to.
    """
    backoff, until = Backoff(1.0, on_note), math.inf
    while True:
        try:
            answer = call()
            backoff.succeeded()
            return answer
        except (ApiError, UnreachableError) as error:
            if time.monotonic() > until:
                raise
            backoff.failed(error)
        if stopped.is_set():
            until = min(until, time.monotonic() + _HURRY_S)
            time.sleep(min(backoff.wait_s, _HURRIED_WAIT_S))
        else:
            stopped.wait(backoff.wait_s)
