"""What was there when: workers, and the lengths of queues; for charts. Times are milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import to_json

KEPT = timedelta(days=30)
# A worker that was silent for longer was away in between; agents report every 30 s or so.
_AWAY_MS = 150_000
# Looking at a queue takes as long as the queue is long: it is done once in so many milliseconds.
_PAUSE_MS = 1000


class History:
    """The past of workers and queues."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock
        self._looked: dict[str, int] = {}

    # --- workers ------------------------------------------------------------------------------------------------------

    def worker_seen(self, worker: str, *, busy: bool) -> None:
        """Notes a sign of life. Inside a transaction."""
        now = time.milliseconds(self._clock())
        last = self._db.row(
            "SELECT id, busy FROM worker_spans WHERE worker = ? AND until >= ? ORDER BY until DESC, id DESC LIMIT 1",
            (worker, now - _AWAY_MS),
        )
        if last is not None:
            self._db.execute("UPDATE worker_spans SET until = ? WHERE id = ?", (now, last["id"]))
        if last is None or bool(last["busy"]) is not busy:
            self._db.execute(
                "INSERT INTO worker_spans (worker, busy, since, until) VALUES (?, ?, ?, ?)", (worker, busy, now, now)
            )
            self._forget("worker_spans", "until", now)

    def workers(self, start_ms: int, end_ms: int, step_ms: int) -> tuple[list[int], list[int]]:
        """How many workers were there, and how many were busy, in each step from start to end."""
        there: dict[str, set[int]] = {}
        busy: dict[str, set[int]] = {}
        rows = self._db.rows(
            "SELECT worker, busy, since, until FROM worker_spans WHERE until >= ? AND since < ?", (start_ms, end_ms)
        )
        for worker, is_busy, since, until in rows:
            first, last = (max(since, start_ms) - start_ms) // step_ms, (min(until, end_ms - 1) - start_ms) // step_ms
            there.setdefault(worker, set()).update(range(first, last + 1))
            if is_busy:
                busy.setdefault(worker, set()).update(range(first, last + 1))
        steps = range((end_ms - start_ms) // step_ms)
        total, active = ([sum(step in each for each in found.values()) for step in steps] for found in (there, busy))
        return total, active

    # --- queues -------------------------------------------------------------------------------------------------------

    def queue_changed(self, queue: str) -> None:
        """Notes how long a queue is and its tasks have waited, unless that was just noted. Inside a transaction."""
        moment = self._clock()
        now = time.milliseconds(moment)
        if now - self._looked.get(queue, 0) < _PAUSE_MS:
            return
        self._looked[queue] = now
        row = self._db.row(
            "SELECT count(*), coalesce(avg((julianday(?) - julianday(added)) * 86400.0), 0) FROM queue_entries "
            "WHERE queue = ?",
            (time.precise(moment), queue),
        )
        length, waiting = tuple(row) if row else (0, 0.0)
        self._db.execute(
            "INSERT OR REPLACE INTO queue_moments VALUES (?, ?, ?, ?)", (queue, now, length, max(0.0, waiting))
        )
        self._forget("queue_moments", "moment", now)

    def queues(self, ids: Sequence[str], start_ms: int, end_ms: int, step_ms: int) -> list[tuple[int, int, float]]:
        """The steps in which some queues (none: all) changed, as (time, their length, seconds waited on average).

        Of several moments in a step, that of the longest waiting counts; lengths of several queues are added.
        """
        chosen = "" if not ids else "AND queue IN (SELECT value FROM json_each(?))"
        rows = self._db.rows(
            "SELECT step, sum(length), avg(waiting) FROM (SELECT queue, moment / ? * ? AS step, length, "
            f"max(waiting) AS waiting FROM queue_moments WHERE moment >= ? AND moment < ? {chosen} "
            "GROUP BY queue, step) GROUP BY step ORDER BY step",
            [step_ms, step_ms, start_ms, end_ms, *([to_json(list(ids))] if ids else [])],
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def _forget(self, table: str, column: str, now: int) -> None:
        oldest = now - int(KEPT.total_seconds() * 1000)
        self._db.execute(f"DELETE FROM {table} WHERE {column} < ?", (oldest,))
