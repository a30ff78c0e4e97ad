"""The events of a task as one stream, read a part at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database, Row
from clearml_hpo.server.store.documents import to_json
from clearml_hpo.server.store.events import LOG, NO_ITERATION, SCALAR

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
        metrics: Sequence[Mapping[str, Any]] | None = None,
        latest_first: bool = False,
    ) -> tuple[list[Event], int]:
        """``size`` events from ``offset`` on, and how many there are in all.

        Args:
            owner: the task or model.
            kind: the type of the events; None: all, scalars first. Console lines are read in another way.
            offset: how many to leave out.
            size: how many to read at most; -1: all but the last, as ClearML's server has it.
            metrics: ``[{"metric", "variants"}]``; only events of these.
            latest_first: backwards.
        """
        sources = _sources(kind, *named_metrics(metrics or []))
        sizes = [self._size(owner, source) for source in sources]
        total = sum(sizes)
        left = size if size >= 0 else max(0, total + size)
        pairs = list(zip(sources, sizes, strict=True))
        events: list[Event] = []
        for source, number in reversed(pairs) if latest_first else pairs:
            found = self._read(owner, source, offset, left, latest_first) if left and offset < number else []
            events += found
            left -= len(found)
            offset = max(0, offset - number)
        return events, total

    def _size(self, owner: str, source: _Source) -> int:
        row = self._db.row(f"SELECT count(*) FROM {source.rows}", (owner, *source.parameters))
        return int(row[0]) if row else 0

    def _read(self, owner: str, source: _Source, offset: int, size: int, latest_first: bool) -> list[Event]:
        order = ", ".join(f"{column} DESC" if latest_first else column for column in source.order)
        sql = f"SELECT {source.columns} FROM {source.rows} ORDER BY {order} LIMIT ? OFFSET ?"
        return [source.shown(row) for row in self._db.rows(sql, (owner, *source.parameters, size, offset))]


def _sources(kind: str | None, named: str, metrics: Sequence[Any]) -> list[_Source]:
    of_kind, typed = ("", []) if kind is None else (" AND type = ?", [kind])
    scalars = _Source(
        "owner, timestamp, iter, metric, variant, scalars.value, worker",
        f"scalars JOIN series ON series.id = scalars.series WHERE owner = ?{named}",
        ("iter", "series.id"),
        _scalar_event,
        metrics,
    )
    reports = _Source(
        "body",
        f"reports WHERE owner = ?{of_kind}{named}",
        ("iter", "metric", "variant"),
        lambda row: dict(json.loads(row["body"])),
        [*typed, *metrics],
    )
    known = {SCALAR: [scalars], LOG: [], None: [scalars, reports]}
    return known.get(kind, [reports])


def named_metrics(metrics: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """SQL (`` AND ...``, or nothing) for events of some metrics, or of some of their variants, and its parameters."""
    clauses, parameters = [], []
    for each in metrics:
        variants = each.get("variants")
        clauses.append("metric = ? AND variant IN (SELECT value FROM json_each(?))" if variants else "metric = ?")
        parameters += [str(each.get("metric")), *([to_json(variants)] if variants else [])]
    return (f" AND ({' OR '.join(clauses)})" if clauses else ""), parameters


def _scalar_event(row: Row) -> Event:
    event = {
        "timestamp": row["timestamp"],
        "type": SCALAR,
        "task": row["owner"],
        "iter": row["iter"],
        "metric": row["metric"],
        "variant": row["variant"],
        "value": row["value"],
        "model_event": False,
        "@timestamp": time.stored(time.from_milliseconds(row["timestamp"])).replace("000+00:00", "Z"),
        "worker": row["worker"] or "",
    }
    if row["iter"] == NO_ITERATION:
        del event["iter"]
    return event


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
