"""Databases for tests of the gateway: SQLite, and a PostgreSQL of the system's binaries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from clearml_hpo.gateway.db import Database
from clearml_hpo.gateway.db.database import SCHEMA
from clearml_hpo.gateway.db.tables import metadata
from tests import postgresql


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A server for this run; its database has no tables of the gateway until a test makes them."""
    if postgresql.binaries() is None and os.environ.get("CI") != "true":
        pytest.skip("no PostgreSQL here (Debian: postgresql)")
    with postgresql.running() as url:
        yield url


def admin(url: str, *statements: str) -> None:
    """Runs statements outside of any transaction."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


@pytest.fixture
def empty_postgresql(postgresql_url: str) -> str:
    """Its URL, without any schema of the gateway."""
    admin(postgresql_url, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    return postgresql_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with empty tables."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path}/gateway.sqlite3")
    else:
        made = Database(request.getfixturevalue("postgresql_url"))
        made.migrate()
    made.open()
    yield made
    with made.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))
    made.close()
