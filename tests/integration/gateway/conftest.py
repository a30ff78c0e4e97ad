"""Databases for tests of the gateway: SQLite, and a PostgreSQL of the system's binaries; a gateway that serves."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from clearml_hpo.gateway.app import build_app
from clearml_hpo.gateway.auth import Kind, Rights, Tokens
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.db import Database, accounts
from clearml_hpo.gateway.db.accounts import Role
from clearml_hpo.gateway.db.database import SCHEMA
from clearml_hpo.gateway.db.tables import metadata
from clearml_hpo.gateway.hosting import Hosting
from clearml_hpo.gateway.process import web_server
from clearml_hpo.gateway.v1.events import Streams
from clearml_hpo.gateway.v1.leases import Leases
from clearml_hpo.gateway.v1.routes import routes
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


class Gateway:
    """One in this process."""

    def __init__(self, database, pepper):
        self.database, self.notes = database, []
        self.hosting = Hosting(database, self.notes.append)
        self.tokens = Tokens(database, pepper)
        self.streams = Streams(most=4, most_of_token=3)
        v1 = partial(routes, self.hosting, leases=Leases(pepper), tokens=self.tokens, streams=self.streams)
        app = build_app(self.hosting, self.tokens, version="1", v1=v1)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(128)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = web_server(app, self.streams)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()

    def token(self, *scopes, project="physics", user="somebody", is_admin=True, kind=Kind.API, role=Role.OWNER):
        with self.database.write() as connection:
            owner = accounts.ensure_user(connection, "test", user, is_admin=is_admin)
            where = accounts.ensure_project(connection, project, f"tests/{project}-{uuid.uuid4().hex[:8]}")
            accounts.set_role(connection, where.id, owner.id, role)
        made = self.tokens.create(owner.id, where.id, kind=kind, name="t", rights=Rights.parse(scopes or ["worker"]))
        return made.text.reveal()

    def call(self, method, path, token, *, key="", **body):
        headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
        answer = requests.request(method, f"{self.url}/api/v1{path}", json=body or None, headers=headers, timeout=60)
        return answer.status_code, answer.json()

    def reopen(self, study):
        """Has another host drive a study, as another process of the gateway would."""
        host = self.hosting._hosts.pop(study)
        host.stop()
        host.join()

    def close(self):
        self.server.should_exit = True
        self.thread.join(30)
        self.hosting.stop()


@pytest.fixture
def gateway(server, tmp_path, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    database = Database(f"sqlite:///{tmp_path}/gateway.sqlite3")
    database.open()
    made = Gateway(database, Pepper("p" * 40))
    yield made
    made.close()
    database.close()
