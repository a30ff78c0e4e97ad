"""Scalars as they are read: last values, histograms, single values."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database, Row
from clearml_hpo.server.store.documents import to_json

SINGLE_VALUE_ITERATION = -(2**31)
_IN = "IN (SELECT value FROM json_each(?))"
_SELECT_LAST = (
    "SELECT id, owner, metric_hash, variant_hash, total, x_axis_label, metric, variant, value, min_value, "
    "min_value_iteration, max_value, max_value_iteration, first_value, first_value_iteration, count FROM series"
)
_LATEST = 10  # how many values the mean of the latest ones is of
Number = float | None  # None: null was reported


class Scalars:
    """The scalars of tasks and models."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def last_metrics(self, owners: Sequence[str], metrics: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """``{owner: {md5 of metric: {md5 of variant: {...}}}}``; what is not known has no key.

        Args:
            owners: tasks or models.
            metrics: the md5s of those that are wanted; None: all.
        """
        found: dict[str, dict[str, Any]] = {}
        if not owners:
            return found
        sql, asked = f"{_SELECT_LAST} WHERE owner {_IN} AND value IS NOT NULL", [to_json(list(owners))]
        if metrics is not None:
            sql, asked = f"{sql} AND metric_hash {_IN}", [*asked, to_json(list(metrics))]
        rows = self._db.rows(sql, asked)
        rows.sort(key=itemgetter(0))  # SQLite would take longer
        for _, owner, metric_hash, variant_hash, total, label, metric, variant, value, *of_all in rows:
            least, least_iteration, most, most_iteration, first, first_iteration, count = of_all
            last = {
                "metric": metric,
                "variant": variant,
                "value": value,
                "min_value": least,
                "min_value_iteration": least_iteration,
                "max_value": most,
                "max_value_iteration": most_iteration,
                "first_value": first,
                "first_value_iteration": first_iteration,
                "count": count or None,  # min, max and count are written after the value
            }
            if not count or None in of_all:
                last = {name: value for name, value in last.items() if value is not None}
            if label is not None:
                last["x_axis_label"] = label
            if count and total is not None:
                last["mean_value"] = round(total / count, 2)
            found.setdefault(owner, {}).setdefault(metric_hash, {})[variant_hash] = last
        return found

    def histogram(
        self, owner: str, key: str, samples: int, metrics: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """``{metric: {variant: {name, x, y}}}`` of at most ``samples`` points each."""
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
        return [row for row in rows if _is_among(metrics, row["metric"], row["variant"])]

    def _points(self, series: int, key: str, samples: int) -> tuple[list[Any], list[Number]] | None:
        column = "iter" if key == "iter" else "timestamp"
        rows = self._db.rows(
            f"SELECT {column}, value FROM scalars WHERE series = ? AND iter > ? ORDER BY {column}, iter",
            (series, SINGLE_VALUE_ITERATION),
        )
        if not rows:
            return None
        xs, ys = _thinned([(row[0], row[1]) for row in rows], samples)
        return [_iso(x) for x in xs] if key == "iso_time" else list(xs), ys

    def single_values(
        self, owners: Sequence[str], metrics: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """The values that were reported without an iteration, of each owner."""
        found: dict[str, list[dict[str, Any]]] = {}
        rows = self._db.rows(
            "SELECT series.owner, series.metric, series.variant, scalars.value, scalars.timestamp "
            f"FROM series JOIN scalars ON scalars.series = series.id AND scalars.iter = ? WHERE owner {_IN} "
            "ORDER BY series.id",
            (SINGLE_VALUE_ITERATION, to_json(list(owners))),
        )
        for row in rows:
            if _is_among(metrics, row["metric"], row["variant"]):
                value = {name: row[name] for name in ("metric", "variant", "value", "timestamp")}
                found.setdefault(row["owner"], []).append(value)
        return found

    def latest(self, owner: str) -> tuple[dict[str, list[dict[str, Any]]], int, int]:
        """``{metric: [{name, last_value, last_10_value}]}`` by the highest iterations, the last one, and its time."""
        found: dict[str, list[dict[str, Any]]] = {}
        iterations, moments = [0], [0]
        for series in self._series(owner, None):
            rows = self._db.rows(
                "SELECT value, iter, timestamp FROM scalars WHERE series = ? ORDER BY iter DESC LIMIT ?",
                (series["id"], _LATEST),
            )
            if rows:
                values = {
                    "last_value": rows[0]["value"],
                    f"last_{_LATEST}_value": _mean([row["value"] for row in rows]),
                }
                found.setdefault(series["metric"], []).append({"name": series["variant"], **values})
                iterations.append(rows[0]["iter"])
                moments += [row["timestamp"] for row in rows]
        return found, max(iterations), max(moments)

    def raw(
        self, owner: str, metric: Mapping[str, Any], key: str, offset: int, size: int
    ) -> tuple[list[tuple[str, Any, Number]], int]:
        """A part of the points of one ``{metric, variants}`` as (variant, x, y), by iteration, and how many there are.

        The variants' points of one iteration are not parted.
        """
        ids = to_json([series["id"] for series in self._series(owner, [metric])])
        inside = f"scalars.series {_IN} AND iter > {SINGLE_VALUE_ITERATION}"
        total = self._db.row(f"SELECT count(*) FROM scalars WHERE {inside}", (ids,))
        points = (
            "SELECT variant, iter, timestamp, scalars.value FROM scalars JOIN series ON series.id = scalars.series "
        )
        order = "ORDER BY iter, variant"
        rows = self._db.rows(f"{points} WHERE {inside} {order} LIMIT ? OFFSET ?", (ids, size, offset))
        if len(rows) == size:
            last = rows[-1]
            rows += self._db.rows(
                f"{points} WHERE {inside} AND iter = ? AND variant > ? {order}", (ids, last["iter"], last["variant"])
            )
        column = "iter" if key == "iter" else "timestamp"
        shown = _iso if key == "iso_time" else int
        return [(row["variant"], shown(row[column]), row["value"]) for row in rows], int(total[0]) if total else 0

    def names_of(self, owners: Sequence[str], *, single: bool = True) -> list[tuple[str, str]]:
        """Metrics and variants of which some tasks have scalars; ``single``: also those without an iteration."""
        first = -(2**63) if single else SINGLE_VALUE_ITERATION + 1
        rows = self._db.rows(
            f"SELECT DISTINCT metric, variant FROM series WHERE owner {_IN} "
            "AND EXISTS (SELECT 1 FROM scalars WHERE scalars.series = series.id AND iter >= ?) ORDER BY 1, 2",
            (to_json(list(owners)), first),
        )
        return [(row["metric"], row["variant"]) for row in rows]

    def variants(self, projects: Sequence[str] | None) -> list[dict[str, str]]:
        """All metrics and variants of the tasks of some projects (None: of all)."""
        columns = "SELECT DISTINCT metric, metric_hash, variant, variant_hash FROM series"
        if projects is None:
            rows = self._db.rows(f"{columns} ORDER BY metric, variant")
        else:
            sql = f"{columns} JOIN tasks ON tasks.id = owner WHERE project {_IN} ORDER BY metric, variant"
            rows = self._db.rows(sql, (to_json(list(projects)),))
        return [dict(row) for row in rows]


def _is_among(metrics: Sequence[Mapping[str, Any]] | None, metric: str, variant: str) -> bool:
    """Whether a variant is one of some ``{metric, variants}``; of no variants named are all meant, and of none all."""
    if not metrics:
        return True
    return any(
        each["metric"] == metric and (not each.get("variants") or variant in each["variants"]) for each in metrics
    )


def _iso(timestamp: int) -> str:
    return time.stored(time.from_milliseconds(timestamp)).replace("000+00:00", "Z")


def _singles(values: Sequence[Number]) -> list[Number]:
    """Values as single precision has them, which is what curves are kept in."""
    rounded = array("f", [math.nan if value is None else value for value in values])
    return [None if math.isnan(value) else value for value in rounded]


def _mean(values: Sequence[Number]) -> Number:
    """The mean of what is there."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _thinned(pairs: Sequence[tuple[int, Number]], samples: int) -> tuple[list[int], list[Number]]:
    """The points, or ``samples`` intervals of equal length at most: the start of each with points, and their mean.

    As on ClearML's server, there are intervals also where there are as many points as samples.
    """
    first, last = pairs[0][0], pairs[-1][0]
    width = 1 if len(pairs) < samples else math.ceil((last - first + 1) / samples)
    intervals: dict[int, list[Number]] = {}
    for (x, _), y in zip(pairs, _singles([y for _, y in pairs]), strict=True):
        intervals.setdefault(first + (x - first) // width * width, []).append(y)
    return list(intervals), [_mean(ys) for ys in intervals.values()]
