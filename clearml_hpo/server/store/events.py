"""Events as they are written: scalars, console lines, plots, images, vectors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
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

    def add(self, value: float, iteration: int | None) -> None:
        """Takes one more reported value in; a re-report counts again."""
        if self.count == 0:
            self.first_value, self.first_value_iteration = float(value), iteration
        if self.min_value is None or value < self.min_value:
            self.min_value, self.min_value_iteration = value, iteration
        if self.max_value is None or value > self.max_value:
            self.max_value, self.max_value_iteration = value, iteration
        self.value = value
        self.total = value if self.count == 0 else None if self.total is None else self.total + value
        self.count += 1


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
            for event in sorted(map(_Event, events), key=_RANK):
                batch.take(event)
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


class _Event:
    """One event of a batch, read as far as all kinds have it in common.

    Attributes:
        rank: its place in the batch: scalars are taken in by iteration, whatever the order of the batch.
    """

    __slots__ = ("body", "iteration", "metric", "rank", "timestamp", "variant")

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.iteration = _whole(body, "iter")
        self.timestamp = _whole(body, "timestamp")
        self.metric, self.variant = _name(body, "metric"), _name(body, "variant")
        self.rank = (self.iteration or 0) if body.get("type") == SCALAR else 0

    @property
    def summary_iteration(self) -> int | None:
        """The iteration as ``last_metrics`` has it: 0 where the event says nothing of one, none where it says null."""
        return self.iteration if "iter" in self.body else 0


_RANK = attrgetter("rank")


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
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._scalars: list[tuple[Any, ...]] = []
        self._logs: list[tuple[Any, ...]] = []
        self._reports: list[tuple[Any, ...]] = []
        self._last_iteration: dict[tuple[str, bool], int] = {}
        self._stats: dict[tuple[str, str, str], int] = {}
        self._takers = {SCALAR: self._take_scalar, LOG: self._take_log}

    def take(self, event: _Event) -> None:
        """Checks one event and keeps it for :meth:`flush`."""
        kind, owner, is_model = event.body.get("type"), event.body.get("task"), bool(event.body.get("model_event"))
        why = self._fault(kind, owner, is_model, bool(event.body.get("allow_locked")))
        if why:
            self._outcome.refuse(why)
            return
        assert isinstance(owner, str) and isinstance(kind, str)
        if event.timestamp is None or not 0 <= event.timestamp < _LAST_MOMENT:
            event.timestamp = self._moment
        self._takers.get(kind, self._take_report)(owner, event)
        self._outcome.added += 1
        self._stats[owner, event.metric, kind] = self._moment
        last, iteration = self._last_iteration.get((owner, is_model), 0), event.iteration or 0
        self._last_iteration[owner, is_model] = iteration if iteration > last else last

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

    def _worker_of(self, event: _Event) -> str:
        return _text(event.body.get("worker")) or self._worker

    def _take_scalar(self, owner: str, event: _Event) -> None:
        value = _value(event.body)
        series = self._summary(owner, event.metric, event.variant)
        series.x_axis_label = _optional_text(event.body.get("x_axis_label")) or series.x_axis_label
        if value is not None:
            series.add(value, event.summary_iteration)
        iteration = NO_ITERATION if event.iteration is None else event.iteration
        self._scalars.append((series.id, iteration, value, event.timestamp, self._worker_of(event)))

    def _summary(self, owner: str, metric: str, variant: str) -> _Series:
        key = (owner, metric, variant)
        if key not in self._series:
            self._series[key] = self._load(owner, metric, variant)
        return self._series[key]

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

    def _take_log(self, owner: str, event: _Event) -> None:
        level, message = _optional_text(event.body.get("level")), _text(event.body.get("msg"))
        worker = self._worker_of(event)
        self._logs.append((owner, event.timestamp, level, worker, message, event.iteration, self._received))

    def _take_report(self, owner: str, event: _Event) -> None:
        body = {name: value for name, value in event.body.items() if name not in _IGNORED}
        place = {"metric": event.metric, "variant": event.variant, "iter": event.iteration or 0}
        body |= {"timestamp": event.timestamp, **place, "@timestamp": self._received, "worker": self._worker_of(event)}
        body.setdefault("model_event", False)
        if body["type"] == PLOT:
            body["plot_len"] = len(_text(body.get("plot_str")))
        self._reports.append((owner, body["type"], *place.values(), event.timestamp, to_json(body)))

    def flush(self) -> None:
        """Writes what was taken."""
        self._db.execute_many("INSERT OR REPLACE INTO scalars VALUES (?, ?, ?, ?, ?)", self._scalars)
        summaries = [(*(getattr(series, name) for name in _SUMMARY), series.id) for series in self._series.values()]
        self._db.execute_many(_WRITE_SUMMARY, summaries)
        self._db.execute_many(
            "INSERT INTO logs (owner, timestamp, level, worker, msg, iter, received) VALUES (?, ?, ?, ?, ?, ?, ?)",
            self._logs,
        )
        self._db.execute_many(
            "INSERT OR REPLACE INTO reports (owner, type, metric, variant, iter, timestamp, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            self._reports,
        )
        self._db.execute_many(
            "INSERT OR REPLACE INTO metric_stats (owner, metric, type, last_update) VALUES (?, ?, ?, ?)",
            [(*key, moment) for key, moment in self._stats.items()],
        )
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
    if isinstance(value, float) and math.isfinite(value):
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
