"""Hands trial tasks out to whoever asks for one: workers that know nothing of ClearML, over HTTP."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.core.bell import Bell
from clearml_hpo.core.errors import ApiError
from clearml_hpo.executors.queue import QueueExecutor

OUTSIDE = "outside"
"""The queue that :meth:`OutsideExecutor.workers` lists, and a study file names."""
_TAG = "clearml-hpo-outside"  # on queues that were made for one study
_RATE_S = 60.0
"""Asks of the last minute say how many trials are kept ready."""
_QUICK_S = 0.04
"""A trial that is made this fast need not be ready before it is asked for, by one worker alone."""
_FEWEST_AHEAD, _LIVE_FOR_ONE_MORE, _MOST_AHEAD = 4, 8, 32
_OF_LAST = 0.2  # weight of the last wait in their mean


class OutsideExecutor(QueueExecutor):
    """A queue of ClearML's that no worker serves; what waits in it is given to who asks, first come, first served.

    The loop's thread submits, withdraws and aborts; any thread takes. A task is either withdrawn or taken. Who takes
    one says so on the server, and says there how it has ended; :meth:`ended` gives its place free.
    """

    def __init__(
        self,
        api: Api,
        bell: Bell,
        *,
        queue: str,
        out: Collection[str] = (),
        on_abort: Callable[[Sequence[str], str], Collection[str]] = lambda task_ids, reason: task_ids,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """What waits in the queue already can be taken.

        Args:
            bell: wakes the loop when somebody asks and nothing is ready.
            queue: name of the ClearML queue, created if missing. Each study needs its own.
            out: tasks that are out already; they may still be in the queue.
            on_abort: told of tasks that are out and are to end; returns those that had not ended by themselves.
        """
        self._queue_id = ensure_queue(api, queue, [_TAG])
        super().__init__(api, {OUTSIDE: self._queue_id})
        self._bell = bell
        self._on_abort = on_abort
        self._clock = clock
        self._changed = threading.Condition()
        self._out = set(out)
        found = api.call("queues.get_by_id", queue=self._queue_id)["queue"].get("entries") or ()
        self._ready: deque[str] = deque(entry["task"] for entry in found if entry["task"] not in self._out)
        self._asking = 0
        self._asks: deque[float] = deque(maxlen=1000)
        self._wait_s = 0.0
        self._is_closed = False

    # --- for who hands out -------------------------------------------------------------------------------------------

    def take(self, wait_s: float) -> str | None:
        """The id of the next task, which is the caller's from now on; None if there is none within so many seconds."""
        began = self._clock()
        with self._changed:
            self._asks.append(began)
            self._asking += 1
            try:
                if not self._ready:
                    self._bell.ring()
                    self._changed.wait_for(lambda: self._ready or self._is_closed, wait_s)
                    if self._ready:
                        self._wait_s += _OF_LAST * (self._clock() - began - self._wait_s)
                if not self._ready:
                    return None
                self._out.add(task_id := self._ready.popleft())
            finally:
                self._asking -= 1
            if len(self._ready) < self._ahead():
                self._bell.ring()
            return task_id

    def give_back(self, task_id: str) -> None:
        """Who has taken a task can do nothing with it: it is the next to be taken."""
        with self._changed:
            self._out.discard(task_id)
            self._ready.appendleft(task_id)
            self._changed.notify()

    def ended(self, task_id: str) -> None:
        """A task runs no more, or a user has taken it out of the queue."""
        with self._changed:
            self._out.discard(task_id)
            with suppress(ValueError):
                self._ready.remove(task_id)
        self._bell.ring()

    @property
    def has_ready(self) -> bool:
        """Whether a task can be taken at once."""
        return bool(self._ready)

    @property
    def has_out(self) -> bool:
        """Whether somebody has a task."""
        return bool(self._out)

    def __contains__(self, task_id: object) -> bool:
        """Whether it waits or is out."""
        with self._changed:
            return task_id in self._out or task_id in self._ready

    # --- for the loop ------------------------------------------------------------------------------------------------

    def submit(self, task_id: str, queue: str = OUTSIDE) -> None:
        """Puts the task last in the queue, in one call."""
        if task_id in self:
            return
        if self._line_up(task_id, queue):
            with self._changed:
                self._ready.append(task_id)
                self._changed.notify()

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of the queue, see ``QueueExecutor``; one that is out already is left there."""
        with self._changed:
            left = {task_id: "in_progress" for task_id in task_ids if task_id in self._out}
            for task_id in set(task_ids).intersection(self._ready):
                self._ready.remove(task_id)
        others = [task_id for task_id in task_ids if task_id not in left]
        return {**left, **super().withdraw(others)} if others else left

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks, in one call; who has one hears of it when it reports next."""
        with self._changed:
            handed_out = [task_id for task_id in task_ids if task_id in self._out]
            for task_id in set(task_ids).intersection(self._ready):
                self._ready.remove(task_id)
        living = [*self._on_abort(handed_out, reason)] if handed_out else []
        super().abort([task_id for task_id in task_ids if task_id not in handed_out or task_id in living], reason)
        for task_id in handed_out:
            self.ended(task_id)

    def workers(self) -> dict[str, int]:
        """How many tasks are out, are asked for, or are to be ready; no call."""
        with self._changed:
            return {OUTSIDE: len(self._out) + max(self._asking, self._ahead())}

    def how_to_serve(self, queue: str) -> str:
        """What starts a worker."""
        return "clearml-hpo gateway env"

    def close(self) -> None:
        """Ends waits; what is out stays out. Deletes the queue if it is empty."""
        if self._is_closed:
            return
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        with suppress(ApiError):  # it is gone already, or something waits
            if not self._api.call("queues.get_by_id", queue=self._queue_id)["queue"].get("entries"):
                self._api.call("queues.delete", queue=self._queue_id)

    def _ahead(self) -> int:
        """How many tasks are to be ready before they are asked for: asks a second by seconds for which they wait.

        As few as that needs, as their points do not know of what ends meanwhile.
        """
        now = self._clock()
        while self._asks and now - self._asks[0] > _RATE_S:
            self._asks.popleft()
        if not self._asks or (self._wait_s < _QUICK_S and len(self._out) < 2):
            return 0
        most = min(_MOST_AHEAD, _FEWEST_AHEAD + len(self._out) // _LIVE_FOR_ONE_MORE)
        return min(most, math.ceil(len(self._asks) / max(1.0, now - self._asks[0]) * self._wait_s))
