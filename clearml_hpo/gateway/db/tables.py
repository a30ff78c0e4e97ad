"""The tables. A change of them needs a new version in `migrations/versions`; a test compares both.

On PostgreSQL they are in a schema of their own: Optuna's tables have some of these names.
"""

from __future__ import annotations

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import Json

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up only what is called INTEGER


def _text(name: str, *, primary_key: bool = False, unique: bool | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=primary_key, unique=unique)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _whole(name: str, *, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, primary_key=primary_key, autoincrement=False)


def _references(name: str, of: str, *, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, sa.ForeignKey(of), nullable=False, primary_key=primary_key)


users = sa.Table(
    "users",
    metadata,
    _text("id", primary_key=True),
    _text("iss"),
    _text("sub"),
    _text("name"),
    _text("email"),
    sa.Column("is_admin", sa.Boolean, nullable=False),
    _time("disabled_at", nullable=True),
    _time("created"),
    sa.UniqueConstraint("iss", "sub"),
)

projects = sa.Table(
    "projects",
    metadata,
    _text("id", primary_key=True),
    _text("name", unique=True),
    _text("clearml_project"),
    _time("created"),
)

memberships = sa.Table(
    "memberships",
    metadata,
    _references("project", "projects.id", primary_key=True),
    _references("user", "users.id", primary_key=True),
    _text("role"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    _text("id_hash", primary_key=True),
    _references("user", "users.id"),
    _time("created"),
    _time("seen"),
    _time("expires"),
    _time("ended", nullable=True),
)

login_links = sa.Table(
    "login_links",
    metadata,
    _text("key_hash", primary_key=True),
    _references("user", "users.id"),
    _time("expires"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    _text("id", primary_key=True),
    _text("kind"),
    _text("hash"),
    _references("owner", "users.id"),
    _references("project", "projects.id"),
    _text("name"),
    _text("scopes"),
    _time("created"),
    _time("expires"),
    _time("last_used", nullable=True),
    _text("last_from"),
    _time("revoked_at", nullable=True),
    _text("revoked_by"),
    _text("revoked_why"),
    _text("rotated_from"),
)

studies = sa.Table(
    "studies",
    metadata,
    _text("id", primary_key=True),
    _references("project", "projects.id"),
    _text("suid"),
    _text("name"),
    _text("set_up"),
    _text("file"),
    _text("controller"),
    _text("state"),
    sa.Column("lease_s", sa.Double, nullable=False),
    sa.Column("limits", Json, nullable=False),
    _text("created_by"),
    _time("created"),
    sa.UniqueConstraint("project", "suid"),
)

hosts = sa.Table(
    "hosts",
    metadata,
    _references("study", "studies.id", primary_key=True),
    _text("url"),
    _whole("epoch"),
    _time("expires"),
)

handouts = sa.Table(
    "handouts",
    metadata,
    _references("study", "studies.id", primary_key=True),
    _whole("wire", primary_key=True),
    _whole("number"),
    _whole("attempt"),
    _text("task"),
    _text("token"),
    sa.Column("worker", Json, nullable=False),
    _text("state"),
    _text("reason"),
    _time("leased_until"),
    _time("given"),
    _time("ended", nullable=True),
    sa.Column("outcome", Json, nullable=False),
    sa.Index(None, "state", "leased_until"),
    sa.Index(None, "token", "state"),
)

answers = sa.Table(
    "answers",
    metadata,
    _text("study", primary_key=True),
    _whole("wire", primary_key=True),
    _whole("step", primary_key=True),
    sa.Column("outcome", Json, nullable=False),
    sa.Column("prune", sa.Boolean, nullable=False),
    _time("at"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", _SEQUENCE, primary_key=True),
    _text("study"),
    _text("task"),
    _text("kind"),
    sa.Column("body", Json, nullable=False),
    _whole("tries"),
    _time("next_try"),
    _time("created"),
    sa.Index(None, "task", "seq"),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    _text("token", primary_key=True),
    _text("key", primary_key=True),
    _text("body_hash"),
    sa.Column("status", sa.Integer, nullable=False),
    _text("answer"),
    _time("expires"),
    sa.Index(None, "expires"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", _SEQUENCE, primary_key=True),
    _time("at"),
    _text("user"),
    _text("token"),
    _text("what"),
    _text("target"),
    _text("address"),
    sa.Column("ok", sa.Boolean, nullable=False),
    _text("project"),
    sa.Index(None, "at"),
    sa.Index(None, "project", "seq"),
)
