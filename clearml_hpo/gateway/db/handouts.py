"""Hand-outs: the giving of one attempt of a trial to one outside worker, with a lease.

The number on the wire is unique for each attempt: ``number + 1,000,000 * (attempt - 1)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import Now, now
from clearml_hpo.gateway.db.tables import handouts

_OF_AN_ATTEMPT = 1_000_000


class State(str, Enum):
    """What has become of a hand-out."""

    OUT = "out"
    PRUNED = "pruned"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    LATE = "late"  # a result that came after the lease
    STOPPED = "stopped"  # by a user, the budget, or the end of the study


class Event(str, Enum):
    """What happens to a hand-out; reports and heartbeats renew its lease instead."""

    PRUNE = "prune"
    TELL = "tell"
    FAIL = "fail"
    EXPIRE = "expire"
    STOP = "stop"


NEXT: Mapping[tuple[State, Event], State] = {
    (State.OUT, Event.PRUNE): State.PRUNED,
    (State.OUT, Event.TELL): State.DONE,
    (State.OUT, Event.FAIL): State.FAILED,
    (State.OUT, Event.EXPIRE): State.LOST,
    (State.OUT, Event.STOP): State.STOPPED,
    (State.LOST, Event.TELL): State.LATE,
}
"""The state that follows; it stays in all cases that are not here."""

STOPS: Mapping[State, bool] = {
    State.PRUNED: True,
    State.STOPPED: True,
    State.LOST: True,
    State.DONE: False,
    State.FAILED: False,
    State.LATE: False,
}
"""How a report of a hand-out that has ended is answered: True if the worker is to stop."""


@dataclass(frozen=True)
class Handout:
    """A row.

    Attributes:
        study: id in the gateway.
        wire: the number that the client knows the trial by.
        task: id of the trial's ClearML task.
        token: id of the token that asked.
        worker: what the worker says of itself.
        leased_until, given, ended: seconds since 1970 by the database's clock.
        outcome: what the worker told at the end.
    """

    study: str
    wire: int
    number: int
    attempt: int
    task: str
    token: str
    worker: Mapping[str, Any]
    state: State
    reason: str
    leased_until: float
    given: float
    ended: float | None
    outcome: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))


@dataclass(frozen=True)
class Ended:
    """What an event did to a hand-out."""

    before: State
    after: State

    @property
    def has_changed(self) -> bool:
        """True if this event ended it."""
        return self.before != self.after


def wire_number(number: int, attempt: int) -> int:
    """The number on the wire of an attempt (from 1 on) of a trial."""
    return number + _OF_AN_ATTEMPT * (attempt - 1)


def from_wire(wire: int) -> tuple[int, int]:
    """Number and attempt of a number on the wire."""
    return wire % _OF_AN_ATTEMPT, wire // _OF_AN_ATTEMPT + 1


def give(
    connection: sa.Connection,
    study: str,
    number: int,
    attempt: int,
    *,
    task: str,
    token: str,
    lease_s: float,
    worker: Mapping[str, Any] | None = None,
) -> Handout:
    """Notes that an attempt is given. Raises sqlalchemy's IntegrityError: it was given before."""
    moment = now(connection)
    values: dict[str, Any] = {
        "study": study,
        "wire": wire_number(number, attempt),
        "number": number,
        "attempt": attempt,
        "task": task,
        "token": token,
        "worker": dict(worker or {}),
        "state": State.OUT.value,
        "reason": "",
        "leased_until": moment + lease_s,
        "given": moment,
        "ended": None,
        "outcome": None,
    }
    connection.execute(sa.insert(handouts).values(values))
    return Handout(**values)


_FIND = sa.select(handouts).where(handouts.c.study == sa.bindparam("of"), handouts.c.wire == sa.bindparam("at"))
_RENEW = (
    sa.update(handouts)
    .where(
        handouts.c.study == sa.bindparam("of"),
        handouts.c.wire == sa.bindparam("at"),
        handouts.c.state == State.OUT.value,
    )
    .values(leased_until=Now() + sa.bindparam("lease_s", type_=sa.Double()))
    .returning(handouts)
)


def find(connection: sa.Connection, study: str, wire: int) -> Handout | None:
    """The hand-out; None if there is none."""
    return _one(connection.execute(_FIND, {"of": study, "at": wire}).one_or_none())


def renew(connection: sa.Connection, study: str, wire: int, lease_s: float) -> Handout | None:
    """A sign of life: the lease runs anew. The hand-out as it is then; None if it has ended, or there is none."""
    return _one(connection.execute(_RENEW, {"of": study, "at": wire, "lease_s": lease_s}).one_or_none())


def end(
    connection: sa.Connection,
    study: str,
    wire: int,
    event: Event,
    *,
    reason: str = "",
    outcome: Any = None,
    is_superseded: bool = False,
) -> Ended:
    """Has an event happen, by ``NEXT``; a second end changes nothing.

    Args:
        reason: a text for users.
        outcome: what the worker told, as JSON.
        is_superseded: a newer attempt of the trial runs or has ended, so a late result does not count. Newer
            hand-outs are seen here; attempts that agents run are known to the caller alone.

    Raises:
        KeyError: there is no such hand-out.
    """
    row = connection.execute(sa.select(handouts).where(*_is(study, wire)).with_for_update()).one_or_none()
    if row is None:
        raise KeyError(wire)
    before = State(row.state)
    after = NEXT.get((before, event), before)
    if after == State.LATE and (is_superseded or _has_newer(connection, row)):
        after = before
    if after != before:
        values = {"state": after.value, "reason": reason, "ended": Now(), "outcome": outcome}
        connection.execute(sa.update(handouts).where(*_is(study, wire)).values(values))
    return Ended(before, after)


def expire(connection: sa.Connection, study: str = "") -> Sequence[Handout]:
    """Ends all hand-outs, or those of one study, whose lease is over; returns them, as they are now."""
    query = sa.select(handouts.c.study, handouts.c.wire).where(
        handouts.c.state == State.OUT.value, handouts.c.leased_until < Now()
    )
    if study:
        query = query.where(handouts.c.study == study)
    over = connection.execute(query.with_for_update(skip_locked=True)).all()
    for each, wire in over:
        end(connection, each, wire, Event.EXPIRE, reason="the outside worker has not reported for too long")
    found = (find(connection, each, wire) for each, wire in over)
    return [handout for handout in found if handout is not None]


def of_study(connection: sa.Connection, study: str, *, only_live: bool = False) -> Sequence[Handout]:
    """The study's hand-outs by number on the wire."""
    query = sa.select(handouts).where(handouts.c.study == study).order_by(handouts.c.wire)
    if only_live:
        query = query.where(handouts.c.state == State.OUT.value)
    return [Handout(*row) for row in connection.execute(query)]


def count_live(connection: sa.Connection, token: str = "") -> int:
    """How many hand-outs have not ended, of all tokens or of one."""
    query = sa.select(sa.func.count()).where(handouts.c.state == State.OUT.value)
    if token:
        query = query.where(handouts.c.token == token)
    return int(connection.execute(query).scalar_one())


def forget_workers(connection: sa.Connection, older_than_s: float) -> int:
    """Clears what workers said of themselves, of hand-outs that ended before; returns how many."""
    old = (handouts.c.ended < Now() - older_than_s) & (handouts.c.worker != sa.literal({}, handouts.c.worker.type))
    return connection.execute(sa.update(handouts).where(old).values(worker={})).rowcount


def _is(study: str, wire: int) -> tuple[sa.ColumnElement[bool], ...]:
    return handouts.c.study == study, handouts.c.wire == wire


def _one(row: Sequence[Any] | None) -> Handout | None:
    return Handout(*row) if row else None


def _has_newer(connection: sa.Connection, row: sa.Row[Any]) -> bool:
    query = sa.select(sa.literal(1)).where(
        handouts.c.study == row.study, handouts.c.number == row.number, handouts.c.attempt > row.attempt
    )
    return connection.execute(query.limit(1)).first() is not None
