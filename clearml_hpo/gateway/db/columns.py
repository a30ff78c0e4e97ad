"""Types and expressions that mean the same in SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class Json(sa.types.TypeDecorator[Any]):
    """JSON kept as text: NaN and Infinity are numbers in it, which the databases' own JSON does not have."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """To the database."""
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else json.loads(value)


class Now(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, also in a long transaction."""

    type = sa.Double()
    inherit_cache = True


@compiles(Now, "postgresql")
def _now_of_postgresql(element: Now, compiler: SQLCompiler, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


@compiles(Now, "sqlite")
def _now_of_sqlite(element: Now, compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def insert_if_new(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Inserts a row, unless one with its key is there; True if it was inserted."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(dict(values)).on_conflict_do_nothing()
    return connection.execute(statement.returning(sa.literal(1))).first() is not None


def now(connection: sa.Connection) -> float:
    """The database's clock."""
    return float(connection.execute(sa.select(Now())).scalar_one())
