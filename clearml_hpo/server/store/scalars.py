"""Scalars as they are read: last values, histograms, single values."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database, Row
from clearml_hpo.server.store.documents import to_json

SINGLE_VALUE_ITERATION = -(2**31)
_IN = "IN (SELECT value FROM json_each(?))"
_LAST = (
    "metric",
    "variant",
    "value",
    "min_value",
    "min_value_iteration",
    "max_value",
    "max_value_iteration",
    "first_value",
    "first_value_iteration",
    "count",
)
_SELECT_LAST = f"SELECT owner, metric_hash, variant_hash, total, {', '.join(_LAST)} FROM series"
# SQLite keeps NaN as NULL.
_NUMBERS = ("value", "min_value", "max_value", "first_value")


class Scalars:
    """The scalars of tasks and models."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def last_metrics(self, owners: Sequence[str]) -> dict[str, dict[str, Any]]:
        """``{owner: {md5 of metric: {md5 of variant: {...}}}}``."""
        found: dict[str, dict[str, Any]] = {}
        if not owners:
            return found
        for row in self._db.rows(f"{_SELECT_LAST} WHERE owner {_IN} ORDER BY id", (to_json(list(owners)),)):
            owner, metric_hash, variant_hash, total, *values = row
            last = dict(zip(_LAST, values, strict=True))
            for name in _NUMBERS:
                if last[name] is None:
                    last[name] = math.nan
            last["mean_value"] = round(_number(total) / last["count"], 2)
            found.setdefault(owner, {}).setdefault(metric_hash, {})[variant_hash] = last
        return found

    def histogram(
        self, owner: str, key: str, samples: int, metrics: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """``{metric: {variant: {name, x, y}}}`` of at most about ``samples`` points each."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for series in self._series(owner, metrics):
            points = self._points(series["id"], key, samples)
            if points is not None:
                found.setdefault(series["metric"], {})[series["variant"]] = {
                    "name": series["variant"],
                    "x": points[0],
                    "y": points[1],
                }
        return found

    def _series(self, owner: str, metrics: Sequence[Mapping[str, Any]] | None) -> list[Row]:
        rows = self._db.rows(
            "SELECT id, metric, variant FROM series WHERE owner = ? ORDER BY metric, variant", (owner,)
        )
        if not metrics:
            return rows
        wanted = {
            str(m.get("metric")): variants if isinstance(variants := m.get("variants"), list) else [] for m in metrics
        }
        return [
            row
            for row in rows
            if row["metric"] in wanted and (not wanted[row["metric"]] or row["variant"] in wanted[row["metric"]])
        ]

    def _points(self, series: int, key: str, samples: int) -> tuple[list[Any], list[float]] | None:
        rows = self._db.rows(
            "SELECT iter, value, timestamp FROM scalars WHERE series = ? AND iter > ? ORDER BY iter",
            (series, SINGLE_VALUE_ITERATION),
        )
        if not rows:
            return None
        column = 0 if key == "iter" else 2
        pairs = [(row[column], _number(row[1])) for row in rows]
        if column:
            pairs.sort(key=lambda pair: pair[0])
        xs, ys = _thinned(pairs, samples)
        shown: list[Any] = [_iso(x) for x in xs] if key == "iso_time" else xs
        return shown, array("f", ys).tolist()

    def single_values(self, owners: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The values that were reported without an iteration, of each owner."""
        found: dict[str, list[dict[str, Any]]] = {}
        rows = self._db.rows(
            "SELECT series.owner, series.metric, series.variant, scalars.value, scalars.timestamp "
            f"FROM series JOIN scalars ON scalars.series = series.id AND scalars.iter = ? WHERE owner {_IN} "
            "ORDER BY series.id",
            (SINGLE_VALUE_ITERATION, to_json(list(owners))),
        )
        for row in rows:
            value = {name: row[name] for name in ("metric", "variant", "value", "timestamp")}
            found.setdefault(row["owner"], []).append({**value, "value": _number(row["value"])})
        return found

    def raw(
        self, owner: str, metric: Mapping[str, Any], key: str, offset: int, size: int
    ) -> tuple[list[tuple[str, Any, float]], int]:
        """A part of the points of one ``{metric, variants}`` as (variant, x, y), by variant, and how many there are."""
        ids = to_json([series["id"] for series in self._series(owner, [metric])])
        inside = f"scalars.series {_IN} AND iter > {SINGLE_VALUE_ITERATION}"
        total = self._db.row(f"SELECT count(*) FROM scalars WHERE {inside}", (ids,))
        rows = self._db.rows(
            "SELECT variant, iter, timestamp, scalars.value FROM scalars JOIN series ON series.id = scalars.series "
            f"WHERE {inside} ORDER BY variant, iter LIMIT ? OFFSET ?",
            (ids, size, offset),
        )
        column = "iter" if key == "iter" else "timestamp"
        shown = _iso if key == "iso_time" else int
        points = [(row["variant"], shown(row[column]), _number(row["value"])) for row in rows]
        return points, int(total[0]) if total else 0

    def names_of(self, owners: Sequence[str]) -> list[tuple[str, str]]:
        """Metrics and variants of which some tasks reported scalars."""
        rows = self._db.rows(f"SELECT DISTINCT metric, variant FROM series WHERE owner {_IN}", (to_json(list(owners)),))
        return [(row["metric"], row["variant"]) for row in rows]

    def metrics_of(self, owner: str) -> list[str]:
        """Names of the metrics of which scalars were reported."""
        rows = self._db.rows("SELECT DISTINCT metric FROM series WHERE owner = ? ORDER BY metric", (owner,))
        return [row["metric"] for row in rows]

    def variants(self, projects: Sequence[str] | None) -> list[dict[str, str]]:
        """All metrics and variants of the tasks of some projects (None: of all)."""
        columns = "SELECT DISTINCT metric, metric_hash, variant, variant_hash FROM series"
        if projects is None:
            rows = self._db.rows(f"{columns} ORDER BY metric, variant")
        else:
            sql = f"{columns} JOIN tasks ON tasks.id = owner WHERE project {_IN} ORDER BY metric, variant"
            rows = self._db.rows(sql, (to_json(list(projects)),))
        return [dict(row) for row in rows]


def _number(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return math.nan if value is None else value


def _iso(timestamp: int) -> str:
    return time.stored(time.from_milliseconds(timestamp)).replace("000+00:00", "Z")


def _thinned(pairs: list[tuple[int, float]], samples: int) -> tuple[list[int], list[float]]:
    """Intervals of equal length with the first x and the mean y of each, if there are more than ``samples``."""
    if len(pairs) <= samples:
        return [x for x, _ in pairs], [y for _, y in pairs]
    first, last = pairs[0][0], pairs[-1][0]
    width = max(1, math.ceil((last - first + 1) / samples))
    buckets: dict[int, list[tuple[int, float]]] = {}
    for pair in pairs:
        buckets.setdefault((pair[0] - first) // width, []).append(pair)
    return (
        [bucket[0][0] for bucket in buckets.values()],
        [sum(y for _, y in bucket) / len(bucket) for bucket in buckets.values()],
    )
