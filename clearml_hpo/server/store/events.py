"""Events as they are written: scalars, console lines, plots, images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import to_json

SCALAR, LOG, PLOT, IMAGE = "training_stats_scalar", "log", "plot", "training_debug_image"
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
    value: float = math.nan
    min_value: float = math.nan
    min_value_iteration: int = 0
    max_value: float = math.nan
    max_value_iteration: int = 0
    first_value: float = math.nan
    first_value_iteration: int = 0
    count: int = 0
    total: float = 0.0

    def add(self, value: float, iteration: int) -> None:
        """Takes one more reported value in; a re-report counts again."""
        if self.count == 0:
            self.first_value, self.first_value_iteration = value, iteration
        if self.count == 0 or value < self.min_value or math.isnan(self.min_value):
            self.min_value, self.min_value_iteration = value, iteration
        if self.count == 0 or value > self.max_value or math.isnan(self.max_value):
            self.max_value, self.max_value_iteration = value, iteration
        self.value = value
        self.count += 1
        self.total += value


_SUMMARY = tuple(name for name in _Series.__dataclass_fields__ if name != "id")
_WRITE_SUMMARY = f"UPDATE series SET {', '.join(f'{name} = ?' for name in _SUMMARY)} WHERE id = ?"


class Events:
    """Takes events in."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock

    def add(self, events: Sequence[Any]) -> Outcome:
        """Keeps those events that are well-formed and whose task (or model) exists."""
        outcome = Outcome()
        with self._db.transaction():
            batch = _Batch(self._db, self._clock, outcome)
            for event in events:
                batch.take(event)
            batch.flush()
        return outcome

    def clear_log(self, owner: str, threshold_s: float) -> int:
        """Removes console events, all or those older than ``threshold_s`` seconds; returns how many."""
        now = time.milliseconds(self._clock())
        before = max(now - threshold_s * 1000, 0) if threshold_s else 2**62
        with self._db.transaction():
            return self._db.execute("DELETE FROM logs WHERE owner = ? AND timestamp < ?", (owner, before))

    def forget(self, owner: str) -> None:
        """Removes all events of a task or model."""
        with self._db.transaction():
            forget(self._db, owner)


def forget(db: Database, owner: str) -> None:
    """Removes all events of a task or model. Inside a transaction."""
    db.execute("DELETE FROM scalars WHERE series IN (SELECT id FROM series WHERE owner = ?)", (owner,))
    for table in ("series", "logs", "reports", "metric_stats"):
        db.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))


class _Batch:
    """One batch: each row that several events touch is written once."""

    def __init__(self, db: Database, clock: time.Clock, outcome: Outcome) -> None:
        self._db = db
        self._now = clock()
        self._moment = time.milliseconds(self._now)
        self._received = time.stored(self._now).replace("000+00:00", "Z")
        self._outcome = outcome
        self._known: dict[tuple[str, bool], bool] = {}
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._scalars: list[tuple[Any, ...]] = []
        self._logs: list[tuple[Any, ...]] = []
        self._reports: list[tuple[Any, ...]] = []
        self._last_iteration: dict[str, int] = {}
        self._stats: dict[tuple[str, str, str], int] = {}
        self._takers: dict[str, Callable[[str, Mapping[str, Any], int], bool]] = {
            SCALAR: self._take_scalar,
            LOG: self._take_log,
        }

    def take(self, event: Any) -> None:
        """Checks one event and keeps it for :meth:`flush`."""
        if not isinstance(event, dict) or not isinstance(event.get("task"), str):
            self._outcome.refuse("Event without a task")
            return
        owner, model_event = event["task"], bool(event.get("model_event"))
        if not self._exists(owner, model_event):
            self._outcome.refuse(f"Invalid {'model' if model_event else 'task'} id {owner}")
            return
        kind = event.get("type")
        if not isinstance(kind, str) or not kind:
            self._outcome.refuse("Event without a type")
            return
        timestamp = _integer(event.get("timestamp"))
        if timestamp is None or not 0 <= timestamp < _LAST_MOMENT:
            timestamp = self._moment
        taker = self._takers.get(kind, self._take_report)
        if not taker(owner, event, timestamp):
            self._outcome.refuse(f"Malformed {kind} event")
            return
        self._outcome.added += 1
        self._stats[owner, _text(event.get("metric")), kind] = self._moment
        iteration = _integer(event.get("iter"))
        if iteration is not None and kind != LOG:
            self._last_iteration[owner] = max(self._last_iteration.get(owner, 0), iteration)
        else:
            self._last_iteration.setdefault(owner, 0)

    def _exists(self, owner: str, model_event: bool) -> bool:
        key = (owner, model_event)
        if key not in self._known:
            table = "models" if model_event else "tasks"
            self._known[key] = self._db.row(f"SELECT 1 FROM {table} WHERE id = ?", (owner,)) is not None
        return self._known[key]

    def _take_scalar(self, owner: str, event: Mapping[str, Any], timestamp: int) -> bool:
        value, iteration = event.get("value"), _integer(event.get("iter", 0))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or iteration is None:
            return False
        try:
            number = float(value)
        except OverflowError:
            return False
        series = self._summary(owner, _text(event.get("metric")), _text(event.get("variant")))
        series.add(number, iteration)
        self._scalars.append((series.id, iteration, number, timestamp, _optional_text(event.get("worker"))))
        return True

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
            return _Series(row["id"])
        cells: list[Any] = [math.nan if cell is None else cell for cell in tuple(row)]
        return _Series(*cells)

    def _take_log(self, owner: str, event: Mapping[str, Any], timestamp: int) -> bool:
        level, worker = _optional_text(event.get("level")), _optional_text(event.get("worker"))
        iteration = _integer(event.get("iter"))
        self._logs.append((owner, timestamp, level, worker, _text(event.get("msg")), iteration, self._received))
        return True

    def _take_report(self, owner: str, event: Mapping[str, Any], timestamp: int) -> bool:
        iteration = _integer(event.get("iter", 0))
        if iteration is None:
            return False
        metric, variant = _text(event.get("metric")), _text(event.get("variant"))
        body = {name: value for name, value in event.items() if name not in _IGNORED}
        body |= {"timestamp": timestamp, "iter": iteration, "metric": metric, "variant": variant}
        body["@timestamp"] = self._received
        body.setdefault("worker", "")
        body.setdefault("model_event", False)
        if event["type"] == PLOT:
            body["plot_len"] = len(_text(event.get("plot_str")))
        self._reports.append((owner, event["type"], metric, variant, iteration, timestamp, to_json(body)))
        return True

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
        for owner, iteration in self._last_iteration.items():
            table = "models" if self._known.get((owner, True)) else "tasks"
            self._db.execute(
                f"UPDATE {table} SET last_iteration = max(last_iteration, ?), last_update = ?, last_change = ?, "
                "last_changed_by = ? WHERE id = ?",
                (iteration, now, now, identity.caller(), owner),
            )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _integer(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if -_LARGEST <= number < _LARGEST else None
