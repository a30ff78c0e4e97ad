"""How often a token, and a project, may ask and report: more waits, and is refused if it would wait too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from clearml_hpo.gateway.auth import Principal
from clearml_hpo.gateway.service import LimitError

LONGEST_WAIT_S = 30
"""Longest wait of a request that comes too often, and of an ask for a trial, before it is refused."""
_MOST_KEYS = 10_000


@dataclass(frozen=True)
class Pace:
    """So many requests a second, and so many at once beyond that."""

    per_s: float
    burst: int


PACES: Mapping[str, Pace] = {
    "ask": Pace(25.0, 200),
    "report": Pace(250.0, 1000),
    "token": Pace(1.0, 60),
    "import": Pace(1.0, 60),
}
"""Of one token, which all jobs of a site may share: 200 workers with trials of 10 s ask 20 times a second.

A project has ten times as much.
"""
_OF_PROJECT = 10


class Limits:
    """Counts requests by kind, token and project."""

    def __init__(
        self,
        paces: Mapping[str, Pace] = PACES,
        *,
        longest_wait_s: float = LONGEST_WAIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``paces`` by the kind of request, for a token."""
        self._paces = paces
        self._longest_wait_s = longest_wait_s
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[tuple[str, str], float] = {}  # when the next request would be due if none came in bursts

    async def wait(self, kind: str, who: Principal) -> None:
        """Waits for the turn of a request.

        Raises:
            LimitError: that would take too long.
        """
        wait_s = self.reserve(kind, who)
        if wait_s > 0:
            await anyio.sleep(wait_s)

    def reserve(self, kind: str, who: Principal) -> float:
        """How many seconds a request is to wait, which counts from now on. Raises LimitError."""
        pace = self._paces[kind]
        per_s = {who.token: pace.per_s, f"project {who.project}": _OF_PROJECT * pace.per_s}
        with self._lock:
            now = self._clock()
            self._tidy(now)
            due = {(kind, name): max(self._due.get((kind, name), now), now) + 1 / each for name, each in per_s.items()}
            wait_s = max(due.values()) - now - pace.burst / pace.per_s
            if wait_s > self._longest_wait_s:
                raise LimitError(f"too many requests: {pace.per_s:g} a second are allowed", retry_s=wait_s)
            self._due |= due
        return max(0.0, wait_s)

    def _tidy(self, now: float) -> None:
        if len(self._due) >= _MOST_KEYS:
            self._due = {key: due for key, due in self._due.items() if due > now}
