"""Work that waits is done in threads: asks for a trial have others than reports, which they must not keep waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

_Result = TypeVar("_Result")
_AT_ONCE = {"ask": 256, "report": 32}


class Threads:
    """Two sets of threads, for ``ask`` and ``report``."""

    def __init__(self) -> None:
        self._limiters: dict[str, CapacityLimiter] = {}  # of the event loop, so they are made in it

    async def run(self, kind: str, work: Callable[[], _Result]) -> _Result:
        """What ``work`` returns."""
        if kind not in self._limiters:
            self._limiters[kind] = CapacityLimiter(_AT_ONCE[kind])
        return await to_thread.run_sync(work, limiter=self._limiters[kind])
