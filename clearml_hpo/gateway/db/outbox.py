"""What is still to be written to ClearML's server, in order for each task."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import Now
from clearml_hpo.gateway.db.tables import outbox


@dataclass(frozen=True)
class Entry:
    """One thing to write: of which task, what kind of call, and its content."""

    seq: int
    study: str
    task: str
    kind: str
    body: Any
    tries: int
    next_try: float
    created: float


@dataclass(frozen=True)
class Backlog:
    """How many entries wait, and the age of the oldest in seconds."""

    count: int
    oldest_s: float


_PUT = sa.insert(outbox).values(tries=0, next_try=Now(), created=Now())


def put(connection: sa.Connection, study: str, task: str, kind: str, body: Any = None) -> None:
    """Adds an entry, in the transaction of what it tells of."""
    connection.execute(_PUT, {"study": study, "task": task, "kind": kind, "body": body})


def due(connection: sa.Connection, limit: int = 500, study: str = "") -> Sequence[Entry]:
    """Entries whose turn it is, in order; none of a task that has an earlier entry which waits.

    If one fails, later ones of its task in the same list must be left alone: :func:`put_off` makes them wait.
    """
    earlier = outbox.alias()
    waits = sa.exists().where(earlier.c.task == outbox.c.task, earlier.c.seq < outbox.c.seq, earlier.c.next_try > Now())
    query = sa.select(outbox).where(outbox.c.next_try <= Now(), ~waits).order_by(outbox.c.seq).limit(limit)
    if study:
        query = query.where(outbox.c.study == study)
    return [Entry(*row) for row in connection.execute(query)]


def done(connection: sa.Connection, seqs: Collection[int]) -> None:
    """Removes what was written."""
    connection.execute(sa.delete(outbox).where(outbox.c.seq.in_(list(seqs))))


def put_off(connection: sa.Connection, seq: int, wait_s: float) -> None:
    """Has an entry, and with it all later ones of its task, wait so many seconds."""
    statement = sa.update(outbox).where(outbox.c.seq == seq)
    connection.execute(statement.values(tries=outbox.c.tries + 1, next_try=Now() + wait_s))


def count(connection: sa.Connection, study: str) -> int:
    """How many entries of a study wait."""
    query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.study == study)
    return int(connection.execute(query).scalar_one())


def backlog(connection: sa.Connection) -> Backlog:
    """How far ClearML's server is behind."""
    query = sa.select(sa.func.count(), sa.func.coalesce(Now() - sa.func.min(outbox.c.created), 0.0)).select_from(outbox)
    count, oldest = connection.execute(query).one()
    return Backlog(int(count), max(0.0, float(oldest)))
