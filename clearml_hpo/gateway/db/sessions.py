"""Log-ins: links that work once, and sessions of browsers. Of both only a hash is kept."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import Now
from clearml_hpo.gateway.db.tables import login_links, sessions, users

_FORGET_S = 7 * 86_400
"""How long a session that is over is kept."""


@dataclass(frozen=True)
class SessionRow:
    """A session that counts.

    Attributes:
        user: id.
        name: of the user, for pages.
        silent_s: how long ago its last use was noted, in seconds.
    """

    user: str
    name: str
    silent_s: float


def add_link(connection: sa.Connection, key_hash: str, user: str, lives_s: float) -> None:
    """Keeps a link that logs ``user`` in."""
    connection.execute(sa.insert(login_links).values(key_hash=key_hash, user=user, expires=Now() + lives_s))


def take_link(connection: sa.Connection, key_hash: str) -> str | None:
    """The user whom a link logs in, which it does once; None if it does not count, or the user is disabled."""
    live = (login_links.c.key_hash == key_hash) & (login_links.c.expires > Now())
    user = connection.execute(sa.delete(login_links).where(live).returning(login_links.c.user)).scalar_one_or_none()
    enabled = sa.select(users.c.id).where(users.c.id == user, users.c.disabled_at.is_(None))
    return connection.execute(enabled).scalar_one_or_none() if user else None


def add(connection: sa.Connection, id_hash: str, user: str, lives_s: float) -> None:
    """Begins a session."""
    values = {"id_hash": id_hash, "user": user, "created": Now(), "seen": Now(), "expires": Now() + lives_s}
    connection.execute(sa.insert(sessions).values(values))


def find(connection: sa.Connection, id_hash: str, idle_s: float) -> SessionRow | None:
    """The session; None if there is none, it is over, not used for ``idle_s``, or its user is disabled."""
    query = (
        sa.select(users.c.id, users.c.name, users.c.sub, Now() - sessions.c.seen)
        .select_from(sessions.join(users, users.c.id == sessions.c.user))
        .where(
            sessions.c.id_hash == id_hash,
            sessions.c.ended.is_(None),
            sessions.c.expires > Now(),
            sessions.c.seen > Now() - idle_s,
            users.c.disabled_at.is_(None),
        )
    )
    row = connection.execute(query).one_or_none()
    return SessionRow(row[0], row[1] or row[2], row[3]) if row else None


def note_use(connection: sa.Connection, id_hash: str) -> None:
    """Notes that a session was used now."""
    connection.execute(sa.update(sessions).where(sessions.c.id_hash == id_hash).values(seen=Now()))


def end(connection: sa.Connection, id_hash: str) -> None:
    """Ends a session."""
    live = (sessions.c.id_hash == id_hash) & sessions.c.ended.is_(None)
    connection.execute(sa.update(sessions).where(live).values(ended=Now()))


def forget(connection: sa.Connection) -> int:
    """Removes links that are over, and sessions that were over a week ago; returns how many."""
    links = connection.execute(sa.delete(login_links).where(login_links.c.expires < Now()))
    old = connection.execute(sa.delete(sessions).where(sessions.c.expires < Now() - _FORGET_S))
    return links.rowcount + old.rowcount
