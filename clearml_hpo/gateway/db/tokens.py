"""Tokens as they are kept: never themselves, only a keyed hash of their secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import Now
from clearml_hpo.gateway.db.tables import tokens


@dataclass(frozen=True)
class TokenRow:
    """A token.

    Attributes:
        kind: ``gwt`` for the native API, ``gwh`` for Hopaas.
        hash: HMAC-SHA-256 of the secret.
        owner, project: ids.
        scopes: separated by spaces.
        created, expires, last_used, revoked_at: seconds since 1970 by the database's clock.
        last_from: the address that used it last.
        rotated_from: id of the token that this one replaces.
    """

    id: str
    kind: str
    hash: str
    owner: str
    project: str
    name: str
    scopes: str
    created: float
    expires: float
    last_used: float | None = None
    last_from: str = ""
    revoked_at: float | None = None
    revoked_by: str = ""
    revoked_why: str = ""
    rotated_from: str = ""


def add(connection: sa.Connection, row: TokenRow) -> None:
    """Keeps a token."""
    connection.execute(sa.insert(tokens).values(asdict(row)))


def find(connection: sa.Connection, token: str) -> TokenRow | None:
    """The token of this id; None if there is none."""
    row = connection.execute(sa.select(tokens).where(tokens.c.id == token)).one_or_none()
    return TokenRow(*row) if row else None


def listed(
    connection: sa.Connection,
    *,
    project: str = "",
    owner: str = "",
    after: TokenRow | None = None,
    limit: int | None = None,
) -> Sequence[TokenRow]:
    """All tokens, or those of a project or an owner, the newest first; a page of them begins after a token."""
    query = sa.select(tokens).order_by(tokens.c.created.desc(), tokens.c.id).limit(limit)
    for column, value in ((tokens.c.project, project), (tokens.c.owner, owner)):
        if value:
            query = query.where(column == value)
    if after is not None:
        later = (tokens.c.created == after.created) & (tokens.c.id > after.id)
        query = query.where((tokens.c.created < after.created) | later)
    return [TokenRow(*row) for row in connection.execute(query)]


def revoke(connection: sa.Connection, token: str, *, by: str, why: str = "") -> bool:
    """Refuses a token from now on; False if it was revoked before, or there is none."""
    live = (tokens.c.id == token) & tokens.c.revoked_at.is_(None)
    values = {"revoked_at": Now(), "revoked_by": by, "revoked_why": why}
    return connection.execute(sa.update(tokens).where(live).values(values)).rowcount == 1


def shorten(connection: sa.Connection, token: str, lives_s: float) -> None:
    """Has a token expire in so many seconds, unless it expires before."""
    sooner = (tokens.c.id == token) & (tokens.c.expires > Now() + lives_s)
    connection.execute(sa.update(tokens).where(sooner).values(expires=Now() + lives_s))


def note_use(connection: sa.Connection, token: str, address: str) -> None:
    """Notes that a token was used now, and from where."""
    connection.execute(sa.update(tokens).where(tokens.c.id == token).values(last_used=Now(), last_from=address))
