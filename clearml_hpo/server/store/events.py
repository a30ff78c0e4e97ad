"""Events as they are written: scalars, console lines, plots, images, vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from itertools import repeat
from math import isfinite
from operator import add, itemgetter
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import to_json

SCALAR, LOG, PLOT, IMAGE = "training_stats_scalar", "log", "plot", "training_debug_image"
VECTOR = "training_stats_vector"
KINDS = (SCALAR, VECTOR, IMAGE, PLOT, LOG)
NO_WORKER = "<unknown>"
NO_ITERATION = -(2**63)  # where a scalar without an iteration is kept: before all others, and in no histogram
_IGNORED = frozenset(("allow_locked", "method"))  # of the transport, not of the event
_LARGEST = 2**63
_LAST_MOMENT = 253_402_300_800_000  # milliseconds up to the year 9999, the last that a date can name


@lru_cache(maxsize=4096)
def md5(name: str) -> str:
    """The key of a metric or variant in ``last_metrics``."""
    return hashlib.md5(name.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


@dataclass
class Outcome:
    """What became of a batch of events."""

    added: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def refuse(self, why: str) -> None:
        """Counts an event that was not added."""
        self.errors[why] = self.errors.get(why, 0) + 1


@dataclass
class _Series:
    """The running summary of one metric and variant."""

    id: int
    value: float | None = None
    min_value: float | None = None
    min_value_iteration: int | None = None
    max_value: float | None = None
    max_value_iteration: int | None = None
    first_value: float | None = None
    first_value_iteration: int | None = None
    count: int = 0
    total: float | None = None
    x_axis_label: str | None = None

    def add(self, values: Sequence[float], iterations: Sequence[int | None]) -> None:
        """Takes more reported values in, in this order; a re-report counts again."""
        if self.count == 0:
            self.first_value, self.first_value_iteration = float(values[0]), iterations[0]
        least, most = min(values), max(values)
        if self.min_value is None or least < self.min_value:
            self.min_value, self.min_value_iteration = least, iterations[values.index(least)]
        if self.max_value is None or most > self.max_value:
            self.max_value, self.max_value_iteration = most, iterations[values.index(most)]
        self.value = values[-1]
        if self.count == 0:
            self.total = reduce(add, values)
        elif self.total is not None:
            self.total = reduce(add, values, self.total)
        self.count += len(values)


_SUMMARY = tuple(name for name in _Series.__dataclass_fields__ if name != "id")
_WRITE_SUMMARY = f"UPDATE series SET {', '.join(f'{name} = ?' for name in _SUMMARY)} WHERE id = ?"


class Events:
    """Takes events in."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock

    def add(self, events: Sequence[Mapping[str, Any]], worker: str = "") -> Outcome:
        """Keeps the events whose type is known and whose task (or model) is there and may be written to.

        Args:
            events: what was reported.
            worker: who reports, where an event does not say.

        Raises:
            ApiRefusal: an event has a value of a wrong kind; none of the batch is kept.
        """
        outcome = Outcome()
        with self._db.transaction():
            batch = _Batch(self._db, self._clock, outcome, worker or NO_WORKER)
            batch.take(events)
            batch.flush()
        return outcome

    def clear_log(self, owner: str, threshold_s: float) -> int:
        """Removes console events, all or those older than ``threshold_s`` seconds; returns how many."""
        now = time.milliseconds(self._clock())
        before = max(now - threshold_s * 1000, 0) if threshold_s else 2**62
        with self._db.transaction():
            return self._db.execute("DELETE FROM logs WHERE owner = ? AND timestamp < ?", (owner, before))

    def remove(self, owner: str) -> int:
        """Removes all events of a task or model, and returns how many; ``last_metrics`` stays."""
        with self._db.transaction():
            return _remove(self._db, owner)


def forget(db: Database, owner: str) -> None:
    """Removes all events of a task or model, and ``last_metrics``. Inside a transaction."""
    _remove(db, owner)
    for table in ("series", "metric_stats"):
        db.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))


def _remove(db: Database, owner: str) -> int:
    removed = db.execute("DELETE FROM scalars WHERE series IN (SELECT id FROM series WHERE owner = ?)", (owner,))
    for table in ("logs", "reports"):
        removed += db.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))
    return removed


_Owner = tuple[str, bool]  # the id of a task or model, and whether it is a model
# A scalar: its rank and place in the batch, its iteration as it is kept and as ``last_metrics`` has it (0 where the
# event says nothing of one, none where it says null), value, time, worker, label of the x axis.
_Point = tuple[int, int, int, int | None, float | None, int, str, str | None]
_RANK = itemgetter(0)


class _Batch:
    """One batch: each row that several events touch is written once."""

    def __init__(self, db: Database, clock: time.Clock, outcome: Outcome, worker: str) -> None:
        self._db = db
        self._now = clock()
        self._moment = time.milliseconds(self._now)
        self._received = time.stored(self._now).replace("000+00:00", "Z")
        self._outcome = outcome
        self._worker = worker
        self._open: dict[tuple[str, bool, bool], bool] = {}
        self._curves: dict[tuple[_Owner, str, str], list[_Point]] = {}
        self._logs: list[tuple[Any, ...]] = []
        self._reports: list[tuple[Any, ...]] = []
        self._last_iteration: dict[_Owner, int] = {}
        self._stats: set[tuple[str, str, str]] = set()

    def take(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Checks events and keeps them for :meth:`flush`."""
        curves: dict[Any, list[_Point]] = {}  # by the words of an event that say which; they are checked once
        words: Any
        for place, event in enumerate(events):
            get = event.get
            iteration, timestamp = get("iter"), get("timestamp")
            if type(iteration) is not int or not NO_ITERATION < iteration < _LARGEST:
                iteration = _whole(event, "iter")
            if type(timestamp) is not int or not 0 <= timestamp < _LAST_MOMENT:
                timestamp = _whole(event, "timestamp")
                if timestamp is None or not 0 <= timestamp < _LAST_MOMENT:
                    timestamp = self._moment
            words = (get("type"), get("task"), get("metric"), get("variant"), get("model_event"), get("allow_locked"))
            try:
                curve = curves.get(words)
            except TypeError:  # a list or an object among them
                words = curve = None
            if curve is None:
                names = self._names(event)
                if names is None:
                    continue
                if event["type"] != SCALAR:
                    self._take_other(event, names, iteration, timestamp)
                    continue
                curve = curves[words] = self._curves.setdefault(names, [])
            value, worker, label = get("value"), get("worker"), get("x_axis_label")
            if type(value) is not float or not isfinite(value):
                value = _value(event)
            worker = self._worker if worker is None else _text(worker) or self._worker
            if label is not None:
                label = _text(label)
            if iteration is None:
                shown = None if "iter" in event else 0
                curve.append((0, place, NO_ITERATION, shown, value, timestamp, worker, label))
            else:
                curve.append((iteration, place, iteration, iteration, value, timestamp, worker, label))

    def _names(self, event: Mapping[str, Any]) -> tuple[_Owner, str, str] | None:
        """Of whom an event is, its metric and its variant; None if it is refused by itself."""
        metric, variant = _name(event, "metric"), _name(event, "variant")
        owner, is_model = event.get("task"), bool(event.get("model_event"))
        why = self._fault(event.get("type"), owner, is_model, bool(event.get("allow_locked")))
        if why:
            self._outcome.refuse(why)
            return None
        assert isinstance(owner, str)
        return (owner, is_model), metric, variant

    def _took(self, owner: _Owner, metric: str, kind: str, last_iteration: int, number: int = 1) -> None:
        self._outcome.added += number
        self._stats.add((owner[0], metric, kind))
        self._last_iteration[owner] = max(self._last_iteration.get(owner, 0), last_iteration)

    def _fault(self, kind: Any, owner: Any, is_model: bool, allow_locked: bool) -> str:
        """Why an event is not added, in ClearML's words; empty if it is."""
        if kind is None:
            return "Event must have a 'type' field"
        if kind not in KINDS:
            return f"Invalid event type {kind}"
        if owner is None:
            return "Event must have a 'task' field"
        if not isinstance(owner, str) or not self._is_open(owner, is_model, allow_locked):
            return f"Invalid {'model' if is_model else 'task'} id {owner}"
        return ""

    def _is_open(self, owner: str, is_model: bool, allow_locked: bool) -> bool:
        """Whether the task or model is there, and not published unless that does not matter."""
        key = (owner, is_model, allow_locked)
        if key not in self._open:
            table, locked = ("models", "ready") if is_model else ("tasks", "status = 'published'")
            row = self._db.row(f"SELECT {locked} FROM {table} WHERE id = ?", (owner,))
            self._open[key] = row is not None and (allow_locked or not row[0])
        return self._open[key]

    def _take_other(
        self, event: Mapping[str, Any], names: tuple[_Owner, str, str], iteration: int | None, timestamp: int
    ) -> None:
        """Keeps a line of the console, or a report."""
        owner, metric, variant = names
        worker = _text(event.get("worker")) or self._worker
        self._took(owner, metric, event["type"], iteration or 0)
        if event["type"] == LOG:
            level, message = _optional_text(event.get("level")), _text(event.get("msg"))
            self._logs.append((owner[0], timestamp, level, worker, message, iteration, self._received))
            return
        body = {name: value for name, value in event.items() if name not in _IGNORED}
        place = {"metric": metric, "variant": variant, "iter": iteration or 0}
        body |= {"timestamp": timestamp, **place, "@timestamp": self._received, "worker": worker}
        body.setdefault("model_event", False)
        if body["type"] == PLOT:
            body["plot_len"] = len(_text(body.get("plot_str")))
        self._reports.append((owner[0], body["type"], *place.values(), timestamp, to_json(body)))

    def _load(self, owner: str, metric: str, variant: str) -> _Series:
        names = ", ".join(_SUMMARY)
        sql = f"SELECT id, {names} FROM series WHERE owner = ? AND metric_hash = ? AND variant_hash = ?"
        hashes = (md5(metric), md5(variant))
        row = self._db.row(sql, (owner, *hashes))
        if row is None:
            self._db.execute(
                "INSERT INTO series (owner, metric, variant, metric_hash, variant_hash, count) "
                "VALUES (?, ?, ?, ?, ?, 0)",
                (owner, metric, variant, *hashes),
            )
            row = self._db.row(sql, (owner, *hashes))
            assert row is not None
        return _Series(*tuple(row))

    def _write_curves(self) -> None:
        """Scalars are taken in by iteration, whatever the order of the batch."""
        rows: list[tuple[Any, ...]] = []
        for points in self._curves.values():
            points.sort(key=_RANK)
        for (owner, metric, variant), points in sorted(self._curves.items(), key=lambda each: each[1][0][:2]):
            ranks, _, iterations, shown, values, timestamps, workers, labels = zip(*points, strict=True)
            series = self._load(owner[0], metric, variant)
            series.x_axis_label = next(filter(None, reversed(labels)), series.x_axis_label)
            known = [each for each in zip(values, shown, strict=True) if each[0] is not None]
            if known:
                series.add(*zip(*known, strict=True))
            self._db.execute(_WRITE_SUMMARY, [*(getattr(series, name) for name in _SUMMARY), series.id])
            rows += zip(repeat(series.id), iterations, values, timestamps, workers)
            self._took(owner, metric, SCALAR, ranks[-1], len(points))
        self._db.insert_many("INSERT OR REPLACE INTO scalars VALUES", rows)

    def flush(self) -> None:
        """Writes what was taken."""
        self._write_curves()
        for insert, rows in (
            ("INTO logs (owner, timestamp, level, worker, msg, iter, received)", self._logs),
            ("OR REPLACE INTO reports (owner, type, metric, variant, iter, timestamp, body)", self._reports),
            (
                "OR REPLACE INTO metric_stats (owner, metric, type, last_update)",
                [(*key, self._moment) for key in self._stats],
            ),
        ):
            self._db.insert_many(f"INSERT {insert} VALUES", rows)
        now = time.stored(self._now)
        for (owner, is_model), iteration in self._last_iteration.items():
            table = "models" if is_model else "tasks"
            self._db.execute(
                f"UPDATE {table} SET last_iteration = max(last_iteration, ?), last_update = ?, last_change = ?, "
                "last_changed_by = ? WHERE id = ?",
                (iteration, now, now, identity.caller(), owner),
            )


# --- values of events -------------------------------------------------------------------------------------------------


def _wrong(event: Mapping[str, Any], name: str, wanted: str) -> ApiRefusal:
    """ClearML's server fails where a value is of a wrong kind, and keeps nothing of the batch either."""
    value = repr(event[name])
    shown = value if len(value) <= 100 else f"{value[:100]}..."
    return ApiRefusal(Refusal.BAD_REQUEST, f"an event's {name!r} must be {wanted}, not {shown}; no event was added")


def _value(event: Mapping[str, Any]) -> float | None:
    """The value of a scalar, which is a finite number that the database can hold, or nothing."""
    value = event.get("value")
    if value is None:
        return None
    if isinstance(value, float) and isfinite(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST:
        return value
    raise _wrong(event, "value", "a finite number")


def _whole(event: Mapping[str, Any], name: str) -> int | None:
    """A whole number, also one written as a text; None where there is none."""
    value = event.get(name)
    if value is None or (type(value) is int and NO_ITERATION < value < _LARGEST):
        return value
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise _wrong(event, name, "a whole number") from None
    if not NO_ITERATION < number < _LARGEST:
        raise _wrong(event, name, "a whole number of 64 bits")
    return number


def _name(event: Mapping[str, Any], name: str) -> str:
    """A metric or variant; empty where there is none."""
    value = event.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(event, name, "a text")
    return value or ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)
