"""The only door to SQLite: one writer, readers that see one state, numbered migrations."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

from clearml_hpo.core.errors import ServerError
from clearml_hpo.server.store.patterns import compiled
from clearml_hpo.server.store.text_search import words_in

Row = sqlite3.Row
_ROWS_AT_ONCE = (64, 8, 1)
_SOON_CHECKED = 64 * 2**20  # bytes that are looked through at each start


class Database:
    """One SQLite file in WAL mode.

    Reads see the last commit, those inside one :meth:`snapshot` the same one. Writes happen inside
    :meth:`transaction`, which only one thread holds at a time; a transaction inside a transaction is part of the
    outer one, and what fails inside must fail the outer one too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._writing_thread = 0
        self._local = threading.local()
        self._idle: list[sqlite3.Connection] = []  # readers that no thread uses
        with _unless_damaged(path):
            self._writer = _connect(path)
            _migrate(self._writer)
            if path.stat().st_size <= _SOON_CHECKED:
                _check(self._writer)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything executed inside is kept as a whole or not at all."""
        with self._lock, _unless_damaged(self.path):
            if self._depth == 0:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writing_thread = threading.get_ident()
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._writer.execute("COMMIT")
                    self._look_again()
            except BaseException:
                # Also where the commit failed, for want of space: the next transaction must find none open.
                if self._depth == 1 and self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._writing_thread = 0

    @contextmanager
    def unless_writing(self) -> Iterator[bool]:
        """Within it, if True, no other thread writes; False, at once, if one does."""
        is_free = self._lock.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._lock.release()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Reads inside see one state of the database: that of the first of them, or of the thread's last commit."""
        if self._writing_thread == threading.get_ident():
            yield self._writer
            return
        known: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if known is not None:
            yield known
            return
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _connect(self.path)
        connection.execute("BEGIN")
        self._local.reader = connection
        try:
            with _unless_damaged(self.path):
                yield connection
        finally:
            self._local.reader = None
            connection.execute("COMMIT")
            self._idle.append(connection)

    def _look_again(self) -> None:
        """Lets the snapshot that surrounds a transaction see what the transaction has written."""
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is not None:
            reader.execute("COMMIT")
            reader.execute("BEGIN")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Writes; returns the number of changed rows. Only inside a transaction."""
        self._check_writing()
        return self._writer.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Writes many rows. Only inside a transaction."""
        self._check_writing()
        self._writer.executemany(sql, rows)

    def insert_many(self, insert: str, rows: Sequence[Sequence[Any]]) -> None:
        """Adds rows; ``insert`` is the statement up to and with VALUES. Only inside a transaction.

        A statement has many rows: at the end of each, Python's lock is given up, and other threads may take it.
        """
        self._check_writing()
        begin = 0
        for size in _ROWS_AT_ONCE:
            while len(rows) - begin >= size:
                part = rows[begin : begin + size]
                marks = ", ".join([f"({', '.join('?' * len(part[0]))})"] * size)
                self._writer.execute(f"{insert} {marks}", list(chain.from_iterable(part)))
                begin += size

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Reads all rows of the answer; inside a transaction, with what it has written so far."""
        with self.snapshot() as connection:
            return connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Reads the first row of the answer, or None."""
        with self.snapshot() as connection:
            cursor = connection.execute(sql, parameters)
            found: Row | None = cursor.fetchone()
            cursor.close()
            return found

    def close(self) -> None:
        """Closes all connections."""
        for connection in (*self._idle, self._writer):
            connection.close()

    def _check_writing(self) -> None:
        if self._writing_thread != threading.get_ident():
            raise RuntimeError("writing needs a transaction")


def copy(source: Path, target: Path) -> None:
    """Copies a database as of one moment; who writes to it meanwhile is not kept waiting."""
    with _unless_damaged(source), closing(_open(source)) as known, closing(sqlite3.connect(target)) as made:
        known.backup(made)  # in one step, so that it never begins again


def check(path: Path) -> None:
    """Refuses a database that is damaged, or of a newer version.

    Raises:
        ServerError: what is wrong with it.
    """
    with _unless_damaged(path), closing(_open(path)) as database:
        _check(database, "integrity_check")
        _known_version(database)


def _check(connection: sqlite3.Connection, how: str = "quick_check") -> None:
    found = connection.execute(f"PRAGMA {how}(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found.removeprefix("*** in database main ***\n"))


@contextmanager
def _unless_damaged(path: Path) -> Iterator[None]:
    """Says what can be done about a file that is no sound database."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # a full disk, a query that is wrong
            raise
        data = path.parent
        raise ServerError(
            f"the database {path} is damaged ({error}); to go on from a backup: clearml-hpo server restore FILE "
            f"--data {data} --force; without one, move the file away: a new server begins without studies"
        ) from None


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=30)
    connection.row_factory = sqlite3.Row
    # NORMAL: a commit survives the death of the process; only a power cut may cost the last ones.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "temp_store = MEMORY",
        "cache_size = -8000",  # kilobytes, of each connection
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("FITS", 3, _fits, deterministic=True)
    connection.create_function("WORDS_IN", -1, words_in, deterministic=True)
    connection.create_collation("BY_NUMBER", _compare_naturally)
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Runs the migrations of schema/ that this file has not seen; its number is kept in user_version."""
    known = _known_version(connection)
    for number, script in enumerate(_migrations()[known:], start=known + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if _known_version(connection) < number:  # else another process has run it in the same moment
                raise


def _known_version(connection: sqlite3.Connection) -> int:
    found, newest = int(connection.execute("PRAGMA user_version").fetchone()[0]), len(_migrations())
    if found > newest:
        raise ServerError(
            f"the database is of a newer version ({found}) than this program ({newest}); "
            "update clearml-hpo or choose another --data directory"
        )
    return found


def _migrations() -> list[str]:
    folder = resources.files("clearml_hpo.server.store").joinpath("schema")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name)
    return [entry.read_text(encoding="utf-8") for entry in files]


def _fits(pattern: str, ignore_case: int, text: str | None) -> bool:
    """Whether a pattern, which must have been checked, fits somewhere in a text."""
    return text is not None and compiled(pattern, bool(ignore_case)).is_in(str(text))


def _natural_key(text: str) -> tuple[int, float, str]:
    try:
        number = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (0, number, text) if number == number else (1, 0.0, text)


def _compare_naturally(left: str, right: str) -> int:
    """Numbers by value and before all other text: hyperparameters are text, but users sort numbers."""
    first, second = _natural_key(left), _natural_key(right)
    return (first > second) - (first < second)
