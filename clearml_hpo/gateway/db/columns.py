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


class InsertIfNew:
    """Inserts rows of a table, each unless one with its key is there. Made once: to make a statement takes longer than
    to run it."""

    def __init__(self, table: sa.Table, **fixed: Any) -> None:
        """``fixed``: values that are the same in each row, such as ``Now()``."""
        self._statements = {
            name: dialect.insert(table).values(fixed).on_conflict_do_nothing().returning(sa.literal(1))
            for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
        }

    def execute(self, connection: sa.Connection, values: Mapping[str, Any]) -> bool:
        """True if the row was inserted."""
        return connection.execute(self._statements[connection.dialect.name], dict(values)).first() is not None


def insert_if_new(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """The same for a row of a table into which few are inserted, whose values may be expressions."""
    return InsertIfNew(table, **values).execute(connection, {})


def now(connection: sa.Connection) -> float:
    """The database's clock."""
    return float(connection.execute(sa.select(Now())).scalar_one())
