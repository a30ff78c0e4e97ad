"""What the server keeps between two calls, in memory: how far a scroll has come, which table is to be fetched."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from clearml_hpo.server.clock import Clock
from clearml_hpo.server.store.documents import new_id

MOST = 10_000
LIFETIME = timedelta(days=1)
T = TypeVar("T")


class Remembered(Generic[T]):
    """Values by ids that it makes; a server that starts again knows none.

    Those that were not asked for in a day are forgotten, and the longest unused ones where there are too many.
    """

    def __init__(self, clock: Clock, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[T, datetime]] = OrderedDict()  # the longest unused first

    def find(self, id_: str | None) -> T | None:
        """What is known by an id, or None."""
        with self._lock:
            oldest = self._clock() - LIFETIME
            while self._known and next(iter(self._known.values()))[1] < oldest:
                self._known.popitem(last=False)
            if id_ is None or id_ not in self._known:
                return None
            value, _ = self._known[id_]
            self._keep(id_, value)
        return value

    def add(self, value: T) -> str:
        """Keeps a value by a new id."""
        id_ = new_id()
        self.keep(id_, value)
        return id_

    def keep(self, id_: str, value: T) -> None:
        """Keeps another value by an id."""
        with self._lock:
            self._keep(id_, value)

    def _keep(self, id_: str, value: T) -> None:
        self._known[id_] = (value, self._clock())
        self._known.move_to_end(id_)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
