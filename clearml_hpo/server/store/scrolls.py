"""How far each scroll through a list has come."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from clearml_hpo.server.clock import Clock
from clearml_hpo.server.store.documents import new_id

MOST = 10_000
LIFETIME = timedelta(days=1)


class Scrolls:
    """Positions by id, in memory: a server that starts again knows none, and a scroll begins anew.

    Those that nobody has asked for in a day are forgotten, and the longest unused ones where there are too many.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[int, datetime]] = OrderedDict()  # the longest unused first

    def find(self, id_: str | None) -> tuple[str, int]:
        """A scroll and its position; a new one where the id is unknown."""
        with self._lock:
            self._forget(self._clock() - LIFETIME)
            known = id_ if id_ is not None and id_ in self._known else new_id()
            position, _ = self._known.get(known, (0, None))
            self._keep(known, position)
        return known, position

    def advance(self, id_: str, position: int) -> None:
        """Notes how far a scroll has come."""
        with self._lock:
            self._keep(id_, position)

    def _keep(self, id_: str, position: int) -> None:
        self._known[id_] = (position, self._clock())
        self._known.move_to_end(id_)
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def _forget(self, oldest: datetime) -> None:
        while self._known and next(iter(self._known.values()))[1] < oldest:
            self._known.popitem(last=False)
