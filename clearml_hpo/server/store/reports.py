"""Console lines, plots and debug images as they are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import to_json
from clearml_hpo.server.store.events import md5
from clearml_hpo.server.store.streams import log_event, named_metrics

MOST = 10_000  # plots or images in one answer


class Reports:
    """What tasks reported besides scalars."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def log(
        self, owner: str, *, size: int, earlier: bool, start: float | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """Console events going back in time (``earlier``) or forward, and how many there are in all.

        Args:
            owner: the task.
            size: about so many; events of one moment are not parted, as the next call starts beyond it.
            earlier: go back from the end, or forward from the beginning.
            start: the moment to go from, without it.
        """
        sign, order = ("<", "DESC") if earlier else (">", "ASC")
        sql = f"SELECT * FROM logs WHERE owner = ? AND timestamp {sign} ? ORDER BY timestamp {order}, id {order}"
        limit = (-1 if not earlier else 2**62) if start is None else start
        total = self._log_size(owner)
        size = size if size >= 0 else max(0, total + size)  # as ClearML's server: all but the last ones
        rows = self._db.rows(f"{sql} LIMIT ?", (owner, limit, size))
        if rows and len(rows) == size:
            last = rows[-1]
            rows += self._db.rows(
                f"SELECT * FROM logs WHERE owner = ? AND timestamp = ? AND id {sign} ? ORDER BY id {order} LIMIT 10000",
                (owner, last["timestamp"], last["id"]),
            )
        return [log_event(row) for row in rows], total

    def has_log(self, owner: str) -> bool:
        """Whether a task has console events."""
        return self._db.row("SELECT 1 FROM logs WHERE owner = ? LIMIT 1", (owner,)) is not None

    def whole_log(self, owner: str) -> Iterator[dict[str, Any]]:
        """All console events of a task in order."""
        place: tuple[int, int] = (-1, 0)
        while True:
            rows = self._db.rows(
                "SELECT * FROM logs WHERE owner = ? AND (timestamp, id) > (?, ?) ORDER BY timestamp, id LIMIT ?",
                (owner, *place, MOST),
            )
            yield from map(log_event, rows)
            if len(rows) < MOST:
                return
            place = (rows[-1]["timestamp"], rows[-1]["id"])

    def _log_size(self, owner: str) -> int:
        row = self._db.row("SELECT count(*) FROM logs WHERE owner = ?", (owner,))
        return int(row[0]) if row else 0

    def events(
        self,
        owners: Sequence[str],
        kind: str,
        *,
        iterations: int | None = None,
        metrics: Sequence[Mapping[str, Any]] | None = None,
        offset: int = 0,
        size: int = MOST,
    ) -> list[dict[str, Any]]:
        """Plots or images of some tasks, of the last ``iterations`` of each metric and variant.

        ``metrics`` is ``[{"metric", "variants"}]``; None: all, and without variants all of the metric.
        """
        named, parameters = named_metrics(metrics or [])
        rank = "row_number() OVER (PARTITION BY owner, metric, variant ORDER BY iter DESC)"
        rows = self._db.rows(
            f"SELECT body FROM (SELECT *, {rank} AS age FROM reports WHERE type = ?{named} "
            "AND owner IN (SELECT value FROM json_each(?))) WHERE age <= ? "
            "ORDER BY metric, variant, iter DESC LIMIT ? OFFSET ?",
            [kind, *parameters, to_json(list(owners)), iterations or 2**31, size, offset],
        )
        return [json.loads(row["body"]) for row in rows]

    def urls(self, owner: str) -> list[str]:
        """Where the files of a task's plots and images are."""
        url = "json_extract(body, '$.url')"
        rows = self._db.rows(f"SELECT DISTINCT {url} AS url FROM reports WHERE owner = ? ORDER BY url", (owner,))
        return [row["url"] for row in rows if isinstance(row["url"], str) and row["url"]]

    def metrics_of(self, owner: str, kind: str) -> list[str]:
        """Names of the metrics of which something of that kind was reported."""
        rows = self._db.rows(
            "SELECT DISTINCT metric FROM reports WHERE owner = ? AND type = ? ORDER BY metric", (owner, kind)
        )
        return [row["metric"] for row in rows]

    def names_of(self, owners: Sequence[str], kind: str | None = None) -> list[tuple[str, str]]:
        """Metrics and variants of which some tasks reported plots or images, or (None) either."""
        rows = self._db.rows(
            "SELECT DISTINCT metric, variant FROM reports WHERE owner IN (SELECT value FROM json_each(?)) "
            "AND type = coalesce(?, type)",
            (to_json(list(owners)), kind),
        )
        return [(row["metric"], row["variant"]) for row in rows]

    def metric_stats(self, owners: Sequence[str]) -> dict[str, dict[str, Any]]:
        """``{owner: {md5 of metric: {metric, event_stats_by_type}}}``."""
        found: dict[str, dict[str, Any]] = {}
        rows = self._db.rows(
            "SELECT * FROM metric_stats WHERE owner IN (SELECT value FROM json_each(?))", (to_json(list(owners)),)
        )
        for row in rows:
            stats = found.setdefault(row["owner"], {})
            each = stats.setdefault(md5(row["metric"]), {"metric": row["metric"], "event_stats_by_type": {}})
            each["event_stats_by_type"][row["type"]] = {"last_update": row["last_update"]}
        return found
