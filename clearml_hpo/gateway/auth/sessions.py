"""Log-ins of browsers: a link that works once becomes a session."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from clearml_hpo.gateway.db import Database, audit
from clearml_hpo.gateway.db import sessions as rows

LINK_S = 600
"""Life of a link that logs in."""
SESSION_S = 12 * 3600
"""Life of a session."""
_IDLE_S = 3600
"""A session that was not used for this long is over."""
_NOTED_S = 60
"""Least time between two notes of when a session was used."""
_BYTES = 32  # of a key and of a session's id


@dataclass(frozen=True)
class Session:
    """Who looks at the pages.

    Attributes:
        user: id.
        name: for pages.
        form_token: what each form of this session's pages sends along; no other site can know it.
    """

    user: str
    name: str
    form_token: str


class Sessions:
    """The log-ins of a gateway."""

    def __init__(self, database: Database) -> None:
        """Sessions are rows of ``database``: they outlive this process."""
        self._database = database

    def new_link(self, user: str) -> str:
        """The key of a link that logs the user of this id in: once, for ten minutes."""
        key = secrets.token_urlsafe(_BYTES)
        with self._database.write() as connection:
            rows.add_link(connection, _hash(key), user, LINK_S)
        return key

    def begin(self, key: str, *, instead_of: str = "", address: str = "") -> str | None:
        """Uses a link up, and begins a session with a new id.

        Args:
            key: of the link.
            instead_of: id of the session that the browser had, which ends.
            address: where the request came from, for the audit.

        Returns:
            The id of the session; None if the link does not count.
        """
        with self._database.write() as connection:
            user = rows.take_link(connection, _hash(key))
            return None if user is None else self._begin(connection, user, instead_of, address)

    def begin_for(self, user: str, *, instead_of: str = "", address: str = "") -> str:
        """As :meth:`begin`, for a user (id) of whom a provider has told."""
        with self._database.write() as connection:
            return self._begin(connection, user, instead_of, address)

    def _begin(self, connection: sa.Connection, user: str, instead_of: str, address: str) -> str:
        session = secrets.token_urlsafe(_BYTES)
        rows.end(connection, _hash(instead_of))
        rows.add(connection, _hash(session), user, SESSION_S)
        audit.note(connection, "logged in", user=user, address=address)
        return session

    def find(self, session: str) -> Session | None:
        """The session of this id, if it counts now."""
        if not session:
            return None
        with self._database.read() as connection:
            row = rows.find(connection, _hash(session), _IDLE_S)
        if row is None:
            return None
        if row.silent_s > _NOTED_S:
            with self._database.write() as connection:
                rows.note_use(connection, _hash(session))
        return Session(row.user, row.name, _hash(f"form {session}"))

    def end(self, session: str) -> None:
        """Ends the session of this id: log-out."""
        with self._database.write() as connection:
            rows.end(connection, _hash(session))


def _hash(text: str) -> str:
    """Of 256 random bits: nothing to guess, so it needs no key."""
    return hashlib.sha256(text.encode()).hexdigest()
