"""Points of a sampler that thinks for long, computed ahead in a thread, so that no slot waits for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from statistics import median

from clearml_hpo.core.values import Value
from clearml_hpo.scheduler.points import Points

_SLOW_S = 0.1
"""A sampler is slow if half of its last proposals took longer."""

_LOOKED_AT = 5
_MOST_AHEAD = 4

Point = Mapping[str, Value]


class AskAhead:
    """The next points; as they come, as long as the sampler is quick about them.

    Once it was seen to be slow (half of its last proposals took longer than 0.1 s), a few proposals are kept ready.
    They do not know of what has ended since, so that there are as few of them as may be needed at once, four at most.

    Attributes:
        is_thinking: whether a point was asked for that is not ready yet.
    """

    def __init__(
        self, points: Points, give_up: Callable[[int], None], *, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        """``give_up`` tells the sampler of a number that will have no trial."""
        self.is_thinking = False
        self._points = points
        self._give_up = give_up
        self._timer = timer
        self._costs: deque[float] = deque(maxlen=_LOOKED_AT)
        self._ready: deque[tuple[int, Future[Point | None]]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._is_closed = False

    def next(self, number: int, most: int) -> Point | None:
        """The point of trial ``number``; None if there is none yet (``is_thinking``), or none left.

        Args:
            number: one more than the last time, or the same if that brought no point.
            most: how many may be asked for from now on, this one included.

        Raises:
            StudyError: as ``OptunaStudy.ask``, also if it went wrong in the thread.
        """
        self.is_thinking = False
        if not self._ready:
            wanted = self._points.wanted(number)
            if wanted is not None:
                return wanted
            if self._thread is None:
                return self._timed(number)
        return self._from_thread(number, most)

    def wait(self, seconds: float) -> None:
        """Returns once the point is ready that was asked for, or so much later."""
        if self._ready:
            futures.wait([self._ready[0][1]], seconds)

    def drop(self) -> None:
        """What was proposed is told as given up: its number has another trial."""
        self._drop_ready()

    def close(self) -> None:
        """Ends the thread; what was proposed and is not needed is told as given up."""
        self._is_closed, self.is_thinking = True, False
        self._drop_ready()
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _timed(self, number: int) -> Point | None:
        before, asks = self._timer(), self._points.asks
        point = self._points.proposed(number)
        self._costs.append((self._timer() - before) / max(1, self._points.asks - asks))
        if len(self._costs) == _LOOKED_AT and median(self._costs) > _SLOW_S and not self._is_closed:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="points ahead")
        return point

    def _from_thread(self, number: int, most: int) -> Point | None:
        assert self._thread is not None  # it is what makes proposals ready
        if self._is_closed:
            return None
        for coming in range(number + len(self._ready), number + min(most, _MOST_AHEAD)):
            self._ready.append((coming, self._thread.submit(self._propose, coming)))
        first = self._ready[0][1]
        if not first.done():
            self.is_thinking = True
            return None
        self._ready.popleft()
        point = first.result()
        if point is None:
            self._drop_ready()  # numbers are without gaps
        return point

    def _propose(self, number: int) -> Point | None:
        point = self._points.proposed(number)
        if point is not None:
            self._points.tried(number, point)
        return point

    def _drop_ready(self) -> None:
        while self._ready:
            number, future = self._ready.popleft()
            if not future.cancel():
                future.add_done_callback(partial(self._drop, number))

    def _drop(self, number: int, done: Future[Point | None]) -> None:
        point = done.result() if done.exception() is None else None
        if point is not None:
            self._points.forget(number, point)
            self._give_up(number)
