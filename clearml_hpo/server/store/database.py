"""The only door to SQLite: one writer, a reader per thread, numbered migrations."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from clearml_hpo.errors import ServerError

Row = sqlite3.Row


class Database:
    """One SQLite file in WAL mode.

    Reads see the last commit. Writes happen inside :meth:`transaction`, which only one thread holds at a
    time; a transaction inside a transaction is part of the outer one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._writing_thread = 0
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._writer = _connect(path)
        _migrate(self._writer)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything executed inside is kept as a whole or not at all."""
        with self._lock:
            if self._depth == 0:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writing_thread = threading.get_ident()
            self._depth += 1
            try:
                yield
            except BaseException:
                self._leave("ROLLBACK")
                raise
            self._leave("COMMIT")

    def _leave(self, how: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._writing_thread = 0
            self._writer.execute(how)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Writes; returns the number of changed rows. Only inside a transaction."""
        self._check_writing()
        return self._writer.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Writes many rows. Only inside a transaction."""
        self._check_writing()
        self._writer.executemany(sql, rows)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Reads all rows of the answer; inside a transaction, with what it has written so far."""
        return self._reader().execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Reads the first row of the answer, or None."""
        found: Row | None = self._reader().execute(sql, parameters).fetchone()
        return found

    def close(self) -> None:
        """Closes all connections."""
        for connection in (*self._readers, self._writer):
            connection.close()

    def _check_writing(self) -> None:
        if self._writing_thread != threading.get_ident():
            raise RuntimeError("writing needs a transaction")

    def _reader(self) -> sqlite3.Connection:
        if self._writing_thread == threading.get_ident():
            return self._writer
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _connect(self.path)
            self._readers.append(connection)
        return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=30)
    connection.row_factory = sqlite3.Row
    # NORMAL: a commit survives the death of the process; only a power cut may cost the last ones.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "temp_store = MEMORY",
        "cache_size = -16000",
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("REGEXP", 2, _matches, deterministic=True)
    connection.create_collation("BY_NUMBER", _compare_naturally)
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Runs the migrations of schema/ that this file has not seen; its number is kept in user_version."""
    known = connection.execute("PRAGMA user_version").fetchone()[0]
    migrations = _migrations()
    if known > len(migrations):
        raise ServerError(
            f"the database is of a newer version ({known}) than this program ({len(migrations)}); "
            "update clearml-hpo or choose another --data directory"
        )
    for number, script in enumerate(migrations[known:], start=known + 1):
        connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def _migrations() -> list[str]:
    folder = resources.files("clearml_hpo.server.store").joinpath("schema")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name)
    return [entry.read_text(encoding="utf-8") for entry in files]


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and _compiled(pattern).search(str(text)) is not None


def _natural_key(text: str) -> tuple[int, float, str]:
    try:
        number = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (0, number, text) if number == number else (1, 0.0, text)


def _compare_naturally(left: str, right: str) -> int:
    """Numbers by value and before all other text: hyperparameters are text, but people sort numbers."""
    first, second = _natural_key(left), _natural_key(right)
    return (first > second) - (first < second)
