"""What workers say of their machines, over the last two days."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from statistics import fmean
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database, Row
from clearml_hpo.server.store.documents import to_json

KEPT = timedelta(days=2)
AGGREGATIONS = ("avg", "min", "max")
_MOST_VARIANTS = 32


class Machines:
    """Keeps and reads machine statistics."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock

    def keep(self, worker: str, stats: Mapping[str, Any]) -> None:
        """Notes ``{metric: number, or one number per core or card}``; what is no number is left out."""
        now = self._clock()
        moment = time.milliseconds(now)
        rows = [(worker, metric, variant, moment, value) for metric, variant, value in _values(stats)]
        with self._db.transaction():
            self._db.execute_many("INSERT OR REPLACE INTO machine_stats VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute("DELETE FROM machine_stats WHERE moment < ?", (time.milliseconds(now - KEPT),))

    def metrics(self, workers: Sequence[str]) -> list[str]:
        """Names of the metrics that some workers have reported; none: all workers."""
        where, parameters = _of(workers)
        rows = self._db.rows(f"SELECT DISTINCT metric FROM machine_stats WHERE {where} ORDER BY metric", parameters)
        return [row["metric"] for row in rows]

    def steps(self, workers: Sequence[str], metrics: Sequence[str], period_ms: range, *, by_variant: bool) -> list[Row]:
        """Rows of ``worker, metric, variant, date, avg, min, max``, one per step of the period in which something came.

        Args:
            workers: whose; none: of all.
            metrics: which.
            period_ms: from, to and size of the steps, in milliseconds.
            by_variant: GPUs each on its own; otherwise all are taken together, and the variant is "".
        """
        where, parameters = _of(workers)
        variant = "variant" if by_variant else "''"
        return self._db.rows(
            f"SELECT worker, metric, {variant} AS variant, moment / ? * ? AS date, avg(value) AS avg, "
            f"min(value) AS min, max(value) AS max FROM machine_stats WHERE {where} "
            "AND metric IN (SELECT value FROM json_each(?)) AND moment >= ? AND moment < ? "
            "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            [period_ms.step] * 2 + [*parameters, to_json(list(metrics)), period_ms.start, period_ms.stop],
        )


def _of(workers: Sequence[str]) -> tuple[str, list[str]]:
    return ("worker IN (SELECT value FROM json_each(?))", [to_json(list(workers))]) if workers else ("1", [])


def _values(stats: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    for metric, value in stats.items():
        if not isinstance(value, list):
            parts = [value]
        else:
            parts = value[:_MOST_VARIANTS] if metric.startswith("gpu") else _mean(value)
        for number, part in enumerate(parts):
            if _is_number(part):
                yield metric, str(number) if isinstance(value, list) and len(parts) > 1 else "", float(part)


def _mean(values: Sequence[Any]) -> list[float]:
    numbers = [value for value in values if _is_number(value)]
    return [fmean(numbers)] if numbers else []


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )
