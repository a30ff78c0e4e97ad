"""Who did what: tokens made, rotated, revoked, refused; orders given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import Now
from clearml_hpo.gateway.db.tables import audit, tokens


@dataclass(frozen=True)
class Act:
    """One line: when, which user or token (ids), what, on what, from which address, and whether it was allowed.

    ``project`` is an id; empty for what is of no project, such as a log-in.
    """

    seq: int
    at: float
    user: str
    token: str
    what: str
    target: str
    address: str
    ok: bool
    project: str


def note(
    connection: sa.Connection,
    what: str,
    *,
    user: str = "",
    token: str = "",
    target: str = "",
    address: str = "",
    ok: bool = True,
    project: str = "",
) -> None:
    """Adds a line; without a ``project`` it is of that of the token. No secret may be in it."""
    values = {"user": user, "token": token, "what": what, "target": target, "address": address, "ok": ok}
    of_token = sa.select(tokens.c.project).where(tokens.c.id == token).scalar_subquery()
    of = project if project or not token else sa.func.coalesce(of_token, "")
    connection.execute(sa.insert(audit).values(at=Now(), project=of, **values))


def last(
    connection: sa.Connection, count: int = 100, before: int | None = None, projects: Collection[str] = ()
) -> Sequence[Act]:
    """The newest lines first; those before a ``seq``, or of some projects, if these are given."""
    query = sa.select(audit).order_by(audit.c.seq.desc()).limit(count)
    if projects:
        query = query.where(audit.c.project.in_(projects))
    if before is not None:
        query = query.where(audit.c.seq < before)
    return [Act(*row) for row in connection.execute(query)]


def forget_addresses(connection: sa.Connection, older_than_s: float) -> int:
    """Clears addresses of older lines; returns how many."""
    old = (audit.c.at < Now() - older_than_s) & (audit.c.address != "")
    return connection.execute(sa.update(audit).where(old).values(address="")).rowcount
