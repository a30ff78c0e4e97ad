"""The gateway's database: its schema, who may make it, and what is said where it cannot be used."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.gateway.db import Database, accounts, audit
from clearml_hpo.gateway.db import tokens as rows
from clearml_hpo.gateway.db.columns import now
from clearml_hpo.gateway.db.database import SCHEMA
from clearml_hpo.gateway.db.tables import metadata
from clearml_hpo.gateway.db.tokens import TokenRow
from tests.integration.gateway.conftest import admin


def test_the_migrations_make_the_tables_that_the_code_uses(database):
    with database.read() as connection:
        schema = None if connection.dialect.name == "sqlite" else SCHEMA
        options = {
            "version_table": "schema_version",
            "version_table_schema": schema,
            "include_schemas": schema is not None,
            "include_name": lambda name, kind, parents: kind != "schema" or name == schema,
        }
        wanted = sa.MetaData(schema=schema, naming_convention=metadata.naming_convention)
        for table in metadata.tables.values():
            table.to_metadata(wanted, schema=wanted.schema)
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, wanted) == []


def test_clocks_agree_with_this_machine(database):
    import time

    with database.read() as connection:
        assert abs(now(connection) - time.time()) < 5


def test_what_fails_is_not_kept(database):
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        audit.note(connection, "a")
        _ = 1 / 0
    with database.read() as connection:
        assert audit.last(connection) == []


def test_many_threads_write(database):
    def write(number: int) -> None:
        for each in range(20):
            with database.write() as connection:
                audit.note(connection, f"{number}-{each}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        lines = audit.last(connection, 1000)
    assert len({line.what for line in lines}) == 160
    assert len({line.seq for line in lines}) == 160


def _open_and_write(url: str) -> None:
    database = Database(url)
    database.open()
    with database.write() as connection:
        accounts.ensure_project(connection, "same")
    for _ in range(100):  # what has read is not refused when it writes, though others have written meanwhile
        with database.write() as connection:
            audit.last(connection, 1)
            audit.note(connection, "here")


def test_processes_that_start_at_once_make_one_file_of_sqlite(tmp_path):
    url = f"sqlite:///{tmp_path}/new/gateway.sqlite3"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_open_and_write, [url] * 3)
    with Database(url).read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM projects")).scalar_one() == 1
        assert connection.execute(sa.text("SELECT count(*) FROM audit")).scalar_one() == 300


def test_the_file_is_for_its_owner(tmp_path):
    before = os.umask(0o022)
    try:
        Database(f"sqlite:///{tmp_path}/gateway.sqlite3").open()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "gateway.sqlite3").stat().st_mode) == 0o600


# --- What is said --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@host/name", "sqlite://", "sqlite:///:memory:", "nothing", "postgres//u:secret@h", ""]
)
def test_other_urls_are_refused_without_their_password(url):
    with pytest.raises(InputError) as error:
        Database(url)
    assert "expected sqlite:///file, or postgresql://" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        Database(f"sqlite:///{tmp_path}/file/gateway.sqlite3")


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "gateway.sqlite3").write_text("this is a text" * 100)
    with pytest.raises(GatewayError, match="cannot be used"):
        Database(f"sqlite:///{tmp_path}/gateway.sqlite3").open()


def test_postgresql_away_is_said_without_the_password():
    with pytest.raises(GatewayError) as error:
        Database("postgresql://u:secret@127.0.0.1:1/name").open()
    assert "cannot be used" in str(error.value) and "secret" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_lines_of_the_audit_that_are_there_get_their_project(kind, tmp_path, request, monkeypatch):
    url = f"sqlite:///{tmp_path}/gateway.sqlite3" if kind == "sqlite" else request.getfixturevalue("empty_postgresql")
    database, newest = Database(url), command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, version: newest(config, "0002"))
    database.migrate()
    monkeypatch.undo()
    with database.write() as connection:
        owner, project = accounts.ensure_user(connection, "i", "ann"), accounts.ensure_project(connection, "vision")
        row = TokenRow("t" * 12, "gwt", "h", owner.id, project.id, "a", "", 1.0, 2.0)
        rows.add(connection, row)
        old = sa.table("audit", *map(sa.column, ("at", "user", "token", "what", "target", "address", "ok")))
        old.schema = None if kind == "sqlite" else SCHEMA
        for token in (row.id, "", "gone"):
            values = {"at": 1.0, "user": "", "token": token, "what": "w", "target": "", "address": "", "ok": True}
            connection.execute(sa.insert(old).values(values))
    database.migrate()
    with database.read() as connection:
        assert {line.token: line.project for line in audit.last(connection)} == {row.id: project.id, "": "", "gone": ""}
    database.close()


def test_postgresql_without_tables_is_told_to_migrate(empty_postgresql):
    database = Database(empty_postgresql)
    with pytest.raises(GatewayError, match="has no tables yet: run `clearml-hpo gateway migrate` first"):
        database.open()
    database.migrate()
    database.open()
    database.close()


def _set_version(database: Database, version: str) -> None:
    with database.write() as connection:
        schema = "" if connection.dialect.name == "sqlite" else f"{SCHEMA}."
        connection.execute(sa.text(f"UPDATE {schema}schema_version SET version_num = :v"), {"v": version})


def test_a_newer_schema_is_left_alone(database):
    _set_version(database, "9999")
    try:
        for use in (database.open, database.migrate):
            with pytest.raises(GatewayError, match=r"newer version \(9999\).*upgrade clearml-hpo"):
                use()
    finally:
        _set_version(database, "0002")


def test_roles_have_the_rights_that_they_need(empty_postgresql):
    admin(
        empty_postgresql,
        "DROP ROLE IF EXISTS only_rows",
        "CREATE ROLE only_rows LOGIN PASSWORD 'rows'",
    )
    url = empty_postgresql.replace(empty_postgresql.split("//")[1].split("@")[0], "only_rows:rows")
    rows = Database(url)
    try:
        with pytest.raises(GatewayError, match="cannot be migrated: permission denied"):
            rows.migrate()
        owner = Database(empty_postgresql)
        owner.migrate(grant="only_rows")
        owner.close()
        rows.open()
        with rows.write() as connection:
            audit.note(connection, "allowed")
            assert audit.last(connection)[0].what == "allowed"
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), rows.write() as connection:
            connection.execute(sa.text(f"CREATE TABLE {SCHEMA}.more (a int)"))
    finally:
        rows.close()
        admin(empty_postgresql, f"DROP SCHEMA {SCHEMA} CASCADE", "DROP ROLE only_rows")


def test_sqlite_has_no_roles(tmp_path):
    with pytest.raises(InputError, match="SQLite has no roles"):
        Database(f"sqlite:///{tmp_path}/gateway.sqlite3").migrate(grant="someone")


def test_the_tables_stand_beside_optunas(empty_postgresql):
    optuna = pytest.importorskip("optuna")
    database = Database(empty_postgresql)
    database.migrate()
    storage = optuna.storages.RDBStorage(empty_postgresql.replace("postgresql:", "postgresql+psycopg:"))
    study = optuna.create_study(storage=storage, study_name="beside")
    study.ask()
    database.open()
    database.close()


def test_connections_that_were_cut_are_made_anew(empty_postgresql):
    """As after a restart of PostgreSQL: what the pool holds is tried before it is used."""
    database = Database(empty_postgresql)
    database.migrate()
    with database.write() as connection:
        audit.note(connection, "before")
    admin(
        empty_postgresql,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'clearml-hpo gateway'",
    )
    with database.write() as connection:
        audit.note(connection, "after")
        assert [line.what for line in audit.last(connection)] == ["after", "before"]
    database.close()


def test_a_connection_that_is_cut_in_a_transaction_leaves_nothing_of_it(empty_postgresql):
    database = Database(empty_postgresql)
    database.migrate()
    with pytest.raises(GatewayError, match="cannot be used"), database.write() as connection:
        audit.note(connection, "lost")
        admin(
            empty_postgresql,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'clearml-hpo gateway'",
        )
        audit.note(connection, "never")
    with database.read() as connection:
        assert audit.last(connection) == []
    database.close()
