"""Writes to ClearML's server what outside workers have said, in order for each task, as soon as the server takes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clearml_hpo.backend import outside_tasks
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.outside_tasks import End, Point
from clearml_hpo.core.bell import Bell
from clearml_hpo.core.errors import ApiError, GatewayError, is_trouble
from clearml_hpo.gateway.db import outbox
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.gateway.db.outbox import Entry

if TYPE_CHECKING:
    from clearml_hpo.gateway.handing import Handing

BEGIN, REPORT, END = "begin", "report", "end"
"""Kinds of entries. A task is begun, reports, ends; a result that comes late has it end again."""

_AT_ONCE = 500
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
"""Pauses of a task whose entry failed, while the server is in trouble."""
_WRITE_S = 1.0
"""Longest time that a report waits for others, so that they travel to ClearML's server together."""
_PING_S = 300.0
"""How often a running task of an outside worker shows a sign of life: servers end silent ones after 15 min or 2 h."""
_EXPIRE_S = 5.0
"""How often leases are looked at."""


class Writing:
    """Empties the outbox of one study; one thread calls it."""

    def __init__(self, api: Api, database: Database, study: str, queue_id: str, on_note: Callable[[str], None]) -> None:
        """``queue_id`` is that of the queue out of which tasks are handed."""
        self._api = api
        self._database = database
        self._study = study
        self._queue_id = queue_id
        self._note = on_note

    def run(self, handing: Handing, soon: threading.Event, stopped: threading.Event, bell: Bell) -> None:
        """Writes, ends what is silent for too long, and shows signs of life of what runs, until ``stopped`` is set.

        Args:
            soon: set when something is to be written.
            bell: rung when a task has begun or ended.
        """
        expired_at = pinged_at = time.monotonic()
        while not stopped.is_set():
            soon.wait(_WRITE_S)
            soon.clear()
            now = time.monotonic()
            try:
                if now - expired_at >= _EXPIRE_S:
                    expired_at = now
                    handing.expire()
                if self.flush():
                    bell.ring()
                if now - pinged_at >= _PING_S:
                    pinged_at = now
                    for handout in handing.handed_out(only_live=True):
                        outside_tasks.ping(self._api, handout.task)
            except GatewayError as error:
                self._note(str(error))
                stopped.wait(_EXPIRE_S)
            except ApiError as error:
                if not is_trouble(error):
                    self._note(str(error))
        try:
            self.flush()
        except (GatewayError, ApiError) as error:
            self._note(f"what workers said is kept, and written when the study is opened again: {error}")

    def flush(self, *, is_first: bool = False) -> bool:
        """Writes all that is due; true if a task has begun or ended by that.

        Args:
            is_first: the study is about to be opened; its database may be of a backup.

        Raises:
            GatewayError: the database is away.
            ApiError: the server is in trouble, and ``is_first``.
        """
        has_moved = False
        while True:
            with self._database.read() as connection:
                entries = outbox.due(connection, _AT_ONCE, self._study)
            if not entries:
                return has_moved
            has_moved |= self._write(self._needed(entries) if is_first else entries)

    def _needed(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Forgets what is of completed tasks: nothing was left to write when they were completed.

        It is of a database that was set back to an older state, and reports would be the last value anew.
        """
        completed = outside_tasks.ended(self._api, {entry.task for entry in entries}, outside_tasks.COMPLETED)
        with self._database.write() as connection:
            outbox.done(connection, [entry.seq for entry in entries if entry.task in completed])
        return [entry for entry in entries if entry.task not in completed]

    def _write(self, entries: Sequence[Entry]) -> bool:
        """The entries of each task up to its first end, so that reports of many tasks travel in one call."""
        begins, reports, ends = _by_kind(entries)
        stuck: set[str] = set()
        written: list[Entry] = []
        try:
            for entry in begins:
                self._try(entry, stuck, written, self._begin)
            self._report([entry for entry in reports if entry.task not in stuck], stuck, written)
            for entry in ends:
                self._try(entry, stuck, written, self._end)
        finally:  # what is written once more after a crash does no harm
            with self._database.write() as connection:
                outbox.done(connection, [entry.seq for entry in written])
        return any(entry.task not in stuck for entry in (*begins, *ends))

    def _begin(self, entry: Entry) -> None:
        if not outside_tasks.begin(self._api, entry.task, self._queue_id, entry.body):
            self._note(f"task {entry.task} was taken back before its outside worker could begin")

    def _end(self, entry: Entry) -> None:
        body: Mapping[str, Any] = entry.body
        how: End = body["how"]
        if not outside_tasks.end(self._api, entry.task, how, body.get("reason", ""), again=bool(body.get("again"))):
            self._note(f"task {entry.task} is not {how}, as its worker said: a user has reset, ended or deleted it")

    def _report(self, entries: Sequence[Entry], stuck: set[str], written: list[Entry]) -> None:
        """All in one call; each by itself if that is refused, as a task may have been deleted."""
        if not entries:
            return
        try:
            outside_tasks.report(self._api, [(entry.task, point) for entry in entries for point in _points(entry)])
        except ApiError as error:
            if is_trouble(error) or len(entries) == 1:
                for entry in entries:
                    self._failed(entry, stuck, written, error)
                return
            for entry in entries:
                self._report([entry], stuck, written)
            return
        written += entries

    def _try(self, entry: Entry, stuck: set[str], written: list[Entry], write: Callable[[Entry], None]) -> None:
        if entry.task in stuck:
            return
        try:
            write(entry)
        except ApiError as error:
            self._failed(entry, stuck, written, error)
            return
        written.append(entry)

    def _failed(self, entry: Entry, stuck: set[str], written: list[Entry], error: ApiError) -> None:
        if is_trouble(error):
            stuck.add(entry.task)
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**entry.tries)
            with self._database.write() as connection:
                outbox.put_off(connection, entry.seq, wait_s)
            return
        self._note(f"what was said of task {entry.task} ({entry.kind}) is refused: {error}")
        written.append(entry)


def _by_kind(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Those of each task up to its first end."""
    found: dict[str, list[Entry]] = {BEGIN: [], REPORT: [], END: []}
    ended: set[str] = set()
    for entry in entries:
        if entry.task not in ended:
            found[entry.kind].append(entry)
            if entry.kind == END:
                ended.add(entry.task)
    return found[BEGIN], found[REPORT], found[END]


def _points(entry: Entry) -> Iterator[Point]:
    body: Mapping[str, Any] = entry.body
    for metric, value in body["values"].items():
        yield Point(metric, body["step"], value, round(entry.created * 1000))
