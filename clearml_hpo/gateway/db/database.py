"""The engine of SQLite or PostgreSQL, transactions, and checks of the schema.

SQLite serves one process, without any set-up. PostgreSQL serves several; there the schema is made and changed by
`clearml-hpo gateway migrate` alone, so that the gateway's own role needs no right to do so.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL, make_url

from clearml_hpo.core.errors import GatewayError, InputError

SCHEMA = "clearml_hpo_gateway"
"""The schema on PostgreSQL. Not a likely name of a role: a role's own schema is where Optuna would put its tables."""
_BUSY_S = 20
"""Longest wait for another writer of SQLite, and for a connection to PostgreSQL."""
_OLDEST_POSTGRESQL = 13
_MIGRATIONS = Path(__file__).with_name("migrations")
_KINDS = "sqlite:///file, or postgresql://user:password@host/name"
_AWAY = (sa.exc.OperationalError, sa.exc.TimeoutError)
_MIGRATING = 0x68706F  # the lock of PostgreSQL that one `migrate` has at a time


class Database:
    """The gateway's database.

    Attributes:
        name: its URL without the password, for messages.
    """

    def __init__(self, url: str) -> None:
        """Reads the URL; connects to nothing yet. Raises InputError."""
        parsed = _parse(url)
        self.name = parsed.render_as_string(hide_password=True)
        self._is_sqlite = parsed.get_backend_name() == "sqlite"
        self._writing = threading.Lock()
        self._engine = _sqlite(parsed) if self._is_sqlite else _postgresql(parsed)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads. Raises GatewayError: the database is away."""
        with self._connected() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write; it is committed at the end. Raises GatewayError: the database is away."""
        with self._turn(), self._connected() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    def open(self) -> None:
        """Checks that the schema is this version's; SQLite gets it.

        Raises:
            GatewayError: the database is out of reach, its schema is older or newer, or the server is too old.
        """
        if self._is_sqlite:
            self.migrate()
            return
        with self.read() as connection:
            self._check_server(connection)
            found = self._version(connection)
        if found != _newest():
            self._check_not_newer(found)
            state = "has no tables yet" if found is None else f"is of an older version ({found})"
            raise GatewayError(f"the database {self.name} {state}: run `clearml-hpo gateway migrate` first")

    def migrate(self, grant: str = "") -> str:
        """Makes the tables, or brings them to this version; returns the version.

        Args:
            grant: a role of PostgreSQL that may read and write rows afterwards, and nothing else.

        Raises:
            GatewayError: the schema is newer, or the role may not change it.
        """
        try:
            with self.write() as connection:
                if not self._is_sqlite:
                    self._check_server(connection)
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
                    connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
                self._check_not_newer(self._version(connection))
                config = Config(attributes={"connection": connection, "schema": self._schema})
                config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
                command.upgrade(config, "head")
                if grant:
                    self._grant(connection, grant)
        except sa.exc.ProgrammingError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise GatewayError(
                f"the database {self.name} cannot be migrated: {reason}; use a role that may make and change tables"
            ) from None
        return _newest()

    @property
    def file(self) -> Path:
        """The file of SQLite. Raises InputError: it is PostgreSQL."""
        if not self._is_sqlite:
            raise InputError(f"{self.name} is PostgreSQL: use pg_dump and pg_restore, see docs/gateway.md")
        return Path(str(self._engine.url.database))

    def has_tables(self) -> bool:
        """Whether some version of the gateway has made its tables. Raises GatewayError: it is no database."""
        with self.read() as connection:
            return self._version(connection) is not None

    def copy_to(self, file: Path) -> None:
        """Writes what SQLite has at this moment to an empty file; others may go on reading and writing.

        Raises: as :meth:`read`.
        """
        with self._connected() as connection:
            raw = connection.connection.cursor()
            try:
                raw.execute("VACUUM INTO ?", (str(file),))
            except Exception as error:
                raise GatewayError(f"the database {self.name} cannot be copied to {file}: {error}") from None
            finally:
                raw.close()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    @property
    def _schema(self) -> str | None:
        return None if self._is_sqlite else SCHEMA

    def _grant(self, connection: sa.Connection, role: str) -> None:
        if self._is_sqlite:
            raise InputError("--grant: SQLite has no roles")
        name = connection.dialect.identifier_preparer.quote(role)
        for right in (
            f"USAGE ON SCHEMA {SCHEMA}",
            f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA}",
            f"USAGE ON ALL SEQUENCES IN SCHEMA {SCHEMA}",
        ):
            connection.execute(sa.text(f"GRANT {right} TO {name}"))

    def _version(self, connection: sa.Connection) -> str | None:
        options = {"version_table": "schema_version", "version_table_schema": self._schema}
        return MigrationContext.configure(connection, opts=options).get_current_revision()

    def _check_not_newer(self, found: str | None) -> None:
        known = {script.revision for script in _scripts().walk_revisions()}
        if found is not None and found not in known:
            raise GatewayError(
                f"the database {self.name} is of a newer version ({found}) than this clearml-hpo; upgrade clearml-hpo"
            )

    def _check_server(self, connection: sa.Connection) -> None:
        version = connection.dialect.server_version_info or (0,)
        if int(version[0]) < _OLDEST_POSTGRESQL:
            found = ".".join(map(str, version))
            raise GatewayError(f"{self.name}: found PostgreSQL {found}; at least {_OLDEST_POSTGRESQL} is needed")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite has one writer at a time: threads queue here, because SQLite itself polls."""
        with self._writing if self._is_sqlite else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (sa.exc.DatabaseError, sa.exc.TimeoutError) as error:
            if not isinstance(error, _AWAY) and type(error) is not sa.exc.DatabaseError:
                raise  # a mistake of ours
            cause = getattr(error, "orig", None) or error
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            raise GatewayError(f"the database {self.name} cannot be used: {reason}") from None


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_MIGRATIONS))


def _newest() -> str:
    return str(_scripts().get_current_head())


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # whose message has the whole URL
        raise InputError(f"the URL of the gateway's database cannot be read; expected {_KINDS}") from None
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise InputError(f"the gateway's database: found {parsed.drivername}; expected {_KINDS}")
    return parsed


def _sqlite(url: URL) -> sa.Engine:
    file = Path(str(url.database))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
    except OSError as error:
        raise InputError(f"the gateway's database {file} cannot be made: {error.strerror}") from None
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S, "check_same_thread": False}, pool_size=32)

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where Python thinks
        for setting in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> sa.Engine:
    try:
        return sa.create_engine(
            url,
            pool_pre_ping=True,
            pool_size=16,
            max_overflow=32,
            pool_timeout=_BUSY_S,
            connect_args={"connect_timeout": _BUSY_S, "application_name": "clearml-hpo gateway"},
            execution_options={"schema_translate_map": {None: SCHEMA}},
        )
    except ModuleNotFoundError:
        raise InputError("PostgreSQL needs the package psycopg: pip install 'clearml-hpo[postgresql]'") from None
