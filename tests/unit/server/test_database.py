"""Transactions and migrations."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from clearml_hpo.core.errors import ServerError
from clearml_hpo.server.store.database import Database, check, copy
from clearml_hpo.server.store.query import filters, ordering
from clearml_hpo.server.store.tasks import TASKS

from .server_without_sockets import Api


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database(tmp_path / "x.sqlite3")


def add(db: Database, name: str) -> None:
    db.execute("INSERT INTO metric_stats VALUES (?, 'm', 't', 1)", (name,))


def owners(db: Database) -> list[str]:
    return [row["owner"] for row in db.rows("SELECT owner FROM metric_stats ORDER BY owner")]


def test_a_transaction_is_kept_as_a_whole_or_not_at_all(db: Database) -> None:
    with db.transaction():
        add(db, "a")
        assert owners(db) == ["a"]
    with pytest.raises(ZeroDivisionError), db.transaction():
        add(db, "b")
        with db.transaction():
            add(db, "c")
        _ = 1 / 0
    assert owners(db) == ["a"]


@pytest.mark.parametrize("number", [0, 1, 8, 63, 64, 150])
def test_many_rows_are_added_at_once(number: int, db: Database) -> None:
    rows = [(f"{n:03}", "m", "log", n) for n in range(number)]
    with db.transaction():
        db.insert_many("INSERT INTO metric_stats VALUES", rows)
    assert [tuple(row) for row in db.rows("SELECT * FROM metric_stats ORDER BY owner")] == rows


def test_writing_needs_a_transaction(db: Database) -> None:
    with pytest.raises(RuntimeError):
        add(db, "a")


def test_reads_of_one_snapshot_see_one_state(db: Database) -> None:
    def add_elsewhere(name: str) -> None:
        def write() -> None:
            with db.transaction():
                add(db, name)

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    with db.snapshot():
        assert owners(db) == []
        add_elsewhere("a")
        assert owners(db) == []
        with db.transaction():
            assert owners(db) == ["a"]
            add(db, "b")
        # What the thread itself has written it sees.
        assert owners(db) == ["a", "b"]
    add_elsewhere("c")
    assert owners(db) == ["a", "b", "c"]


def test_a_thread_that_ends_leaves_no_connection_behind(db: Database) -> None:
    for _ in range(20):
        thread = threading.Thread(target=owners, args=(db,))
        thread.start()
        thread.join()
    assert len(db._idle) == 1


def test_after_a_commit_that_failed_writing_goes_on(db: Database) -> None:
    db._writer.execute("PRAGMA foreign_keys = ON")
    with db.transaction():
        db.execute("CREATE TABLE above (id INTEGER PRIMARY KEY)")
        db.execute("CREATE TABLE below (id INTEGER REFERENCES above DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError), db.transaction():
        db.execute("INSERT INTO below VALUES (1)")  # is refused no sooner than at the commit
    with db.transaction():
        add(db, "a")
    assert owners(db) == ["a"]


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Api(tmp_path)
    task = first.task(name="persistent")
    first.report(task, (1, 2.0))
    first.call("tasks.enqueue", task=task)
    first.store.close()
    second = Api(tmp_path)
    assert second.get(task)["name"] == "persistent"
    assert second.get(task)["last_iteration"] == 1
    assert len(second.call("queues.get_all", name="^default$")["queues"][0]["entries"]) == 1
    second.store.close()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, db: Database) -> None:
    db._writer.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(ServerError, match="newer version"):
        Database(tmp_path / "x.sqlite3")


def test_filters_and_orders_have_an_index(db: Database) -> None:
    for where in ("id = 'x'", "project = 'x'", "parent = 'x'", "status = 'x'", "name = 'x'"):
        [step] = db.rows(f"EXPLAIN QUERY PLAN SELECT * FROM tasks WHERE {where}")
        assert "USING INDEX" in step["detail"], where


@pytest.mark.parametrize("column", ["project", "parent", "status"])
def test_a_page_of_the_newest_tasks_does_not_look_at_the_others(column: str, api: Api) -> None:
    order, _ = ordering(TASKS, ["-last_update"])
    [clause] = filters(TASKS, {column: ["x"]})
    plan = api.store.db.rows(f"EXPLAIN QUERY PLAN SELECT * FROM tasks WHERE {clause.sql} ORDER BY {order}", ["x"])
    details = [step["detail"] for step in plan]
    assert details[0] == f"SEARCH tasks USING INDEX tasks_by_{column} ({column}=?)"
    # What has the very same time is put into order, and nothing else; SQLite has two names for that.
    [rest] = details[1:]
    assert rest in {f"USE TEMP B-TREE FOR {part} OF ORDER BY" for part in ("LAST TERM", "RIGHT PART")}


@pytest.mark.parametrize("begins", [0, 100, 4096])
def test_a_damaged_database_is_said_with_what_to_do(tmp_path, begins):
    path = tmp_path / "store.sqlite3"
    Database(path).close()
    with path.open("r+b") as file:
        file.seek(begins)
        file.write(b"damage!!" * 1024)
    for use in (Database, check):
        with pytest.raises(ServerError, match=f"{path} is damaged .*restore FILE --data {tmp_path} --force") as raised:
            use(path)
        assert "\n" not in str(raised.value)
    with pytest.raises(ServerError, match="is damaged"):
        copy(path, tmp_path / "copy")
        check(tmp_path / "copy")  # pages are copied as they are


def test_damage_that_shows_later_is_said_too(tmp_path):
    database = Database(tmp_path / "store.sqlite3")
    database.rows("SELECT 1")
    with pytest.raises(ServerError, match="is damaged"), database.snapshot():
        raise sqlite3.DatabaseError("database disk image is malformed")
    with pytest.raises(sqlite3.OperationalError), database.snapshot():
        raise sqlite3.OperationalError("database or disk is full")
    database.close()
