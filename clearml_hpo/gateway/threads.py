"""Work that waits is done in threads: asks for a trial have others than reports, which they must not keep waiting.

Reports have few: more of them only wait for Python's lock, and keep the loops of the studies from it. With 32 busy
clients two threads answer an ask in 56 ms, four in 830 ms, and 32 in 1,100 ms (`make bench-gateway`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

_Result = TypeVar("_Result")
_AT_ONCE = {"ask": 256, "report": 2, "import": 4, "other": 8}


class Threads:
    """Threads for each kind of work: ``ask``, ``report``, ``import``, and ``other`` such as lists of trials."""

    def __init__(self) -> None:
        self._limiters: dict[str, CapacityLimiter] = {}  # of the event loop, so they are made in it

    async def run(self, kind: str, work: Callable[[], _Result]) -> _Result:
        """What ``work`` returns."""
        if kind not in self._limiters:
            self._limiters[kind] = CapacityLimiter(_AT_ONCE[kind])
        return await to_thread.run_sync(work, limiter=self._limiters[kind])
