"""All events of a task as one stream, read a part at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database, Row
from clearml_hpo.server.store.events import LOG, SCALAR

Event = dict[str, Any]


@dataclass(frozen=True)
class _Source:
    """A table of events: where they are, in which order, and how a row becomes an event."""

    columns: str
    rows: str
    order: Sequence[str]
    shown: Callable[[Row], Event]
    parameters: Sequence[Any] = ()


class Streams:
    """Reads the events of tasks and models."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def part(
        self,
        owner: str,
        kind: str | None,
        offset: int,
        size: int,
        *,
        metric: str | None = None,
        latest_first: bool = False,
    ) -> tuple[list[Event], int]:
        """``size`` events from ``offset`` on, and how many there are in all.

        Args:
            owner: the task or model.
            kind: the type of the events; None: all, one kind after the other.
            offset: how many to leave out.
            size: how many to read at most.
            metric: only events of this metric.
            latest_first: backwards.
        """
        sources = _sources(kind, metric)
        events: list[Event] = []
        total = 0
        for source in reversed(sources) if latest_first else sources:
            number = self._size(owner, source)
            start = max(0, offset - total)
            total += number
            if start < number and len(events) < size:
                events += self._read(owner, source, start, size - len(events), latest_first)
        return events, total

    def _size(self, owner: str, source: _Source) -> int:
        row = self._db.row(f"SELECT count(*) FROM {source.rows}", (owner, *source.parameters))
        return int(row[0]) if row else 0

    def _read(self, owner: str, source: _Source, offset: int, size: int, latest_first: bool) -> list[Event]:
        order = ", ".join(f"{column} DESC" if latest_first else column for column in source.order)
        sql = f"SELECT {source.columns} FROM {source.rows} ORDER BY {order} LIMIT ? OFFSET ?"
        return [source.shown(row) for row in self._db.rows(sql, (owner, *source.parameters, size, offset))]


def _sources(kind: str | None, metric: str | None) -> list[_Source]:
    of_metric, named = (" AND metric = ?", [metric]) if metric is not None else ("", [])
    of_kind, typed = ("", []) if kind is None else (" AND type = ?", [kind])
    scalars = _Source(
        "owner, timestamp, iter, metric, variant, scalars.value, worker",
        f"scalars JOIN series ON series.id = scalars.series WHERE owner = ?{of_metric}",
        ("iter", "series.id"),
        _scalar_event,
        named,
    )
    logs = _Source("*", "logs WHERE owner = ?", ("timestamp", "id"), log_event)
    reports = _Source(
        "body",
        f"reports WHERE owner = ?{of_kind}{of_metric}",
        ("iter", "metric", "variant"),
        lambda row: dict(json.loads(row["body"])),
        [*typed, *named],
    )
    known = {SCALAR: [scalars], LOG: [logs], None: [scalars, logs, reports]}
    return known.get(kind, [reports])


def _scalar_event(row: Row) -> Event:
    return {
        "timestamp": row["timestamp"],
        "type": SCALAR,
        "task": row["owner"],
        "iter": row["iter"],
        "metric": row["metric"],
        "variant": row["variant"],
        "value": math.nan if row["value"] is None else row["value"],
        "model_event": False,
        "@timestamp": time.stored(time.from_milliseconds(row["timestamp"])).replace("000+00:00", "Z"),
        "worker": row["worker"] or "",
    }


def log_event(row: Row) -> Event:
    """A console line as an event."""
    return {
        "timestamp": row["timestamp"],
        "type": LOG,
        "task": row["owner"],
        "level": row["level"] or "info",
        "worker": row["worker"] or "",
        "msg": row["msg"],
        "model_event": False,
        "@timestamp": row["received"],
        "metric": "",
        "variant": "",
    }
