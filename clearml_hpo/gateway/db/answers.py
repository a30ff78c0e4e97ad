"""What outside workers reported, step by step, and what they were answered: a repeated report gets the same answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import InsertIfNew, Now
from clearml_hpo.gateway.db.tables import answers, handouts


@dataclass(frozen=True)
class Answer:
    """One report.

    Attributes:
        outcome: the value, or several by metric; NaN and infinity are possible.
        prune: the answer: True if the worker is to stop.
        at: seconds since 1970 by the database's clock.
    """

    study: str
    wire: int
    step: int
    outcome: Any
    prune: bool
    at: float


@dataclass(frozen=True)
class Reported:
    """What a hand-out has reported: how many steps, the scalars of the last one by metric, and when."""

    steps: int
    last: Mapping[str, float]
    at: float


_FIND = sa.select(answers).where(
    *(answers.c[column] == sa.bindparam(f"of_{column}") for column in ("study", "wire", "step"))
)

_KEEP = InsertIfNew(answers, at=Now())


def find(connection: sa.Connection, study: str, wire: int, step: int) -> Answer | None:
    """What was answered for this step; None if it is new."""
    row = connection.execute(_FIND, {"of_study": study, "of_wire": wire, "of_step": step}).one_or_none()
    return Answer(*row) if row else None


def keep(connection: sa.Connection, study: str, wire: int, step: int, outcome: Any, *, prune: bool) -> bool:
    """Keeps an answer, unless one is kept for this step: of two, the first counts. Returns the one that counts."""
    values = {"study": study, "wire": wire, "step": step, "outcome": outcome, "prune": prune}
    if _KEEP.execute(connection, values):
        return prune
    kept = find(connection, study, wire, step)
    assert kept is not None
    return kept.prune


def of_trial(connection: sa.Connection, study: str, wire: int) -> Sequence[Answer]:
    """All reports of a hand-out, by step."""
    query = sa.select(answers).where(*_of(study, wire)).order_by(answers.c.step)
    return [Answer(*row) for row in connection.execute(query)]


def count(connection: sa.Connection, study: str, wire: int) -> int:
    """How many steps a hand-out has reported."""
    query = sa.select(sa.func.count()).select_from(answers).where(*_of(study, wire))
    return int(connection.execute(query).scalar_one())


def last_of_live(connection: sa.Connection, study: str) -> Mapping[int, Reported]:
    """Of each hand-out that has not ended, and has reported, by number on the wire."""
    live = sa.exists().where(
        handouts.c.study == answers.c.study, handouts.c.wire == answers.c.wire, handouts.c.state == "out"
    )
    sums = (
        sa.select(
            answers.c.wire,
            sa.func.count().label("steps"),
            sa.func.max(answers.c.step).label("step"),
            sa.func.max(answers.c.at).label("at"),
        )
        .where(answers.c.study == study, live)
        .group_by(answers.c.wire)
        .subquery()
    )
    query = sa.select(sums.c.wire, sums.c.steps, answers.c.outcome, sums.c.at).join(
        answers, (answers.c.study == study) & (answers.c.wire == sums.c.wire) & (answers.c.step == sums.c.step)
    )
    return {wire: Reported(steps, last, at) for wire, steps, last, at in connection.execute(query)}


def forget(connection: sa.Connection, older_than_s: float) -> int:
    """Removes reports of hand-outs that ended before: their scalars are in ClearML. Returns how many."""
    ended = sa.exists().where(
        handouts.c.study == answers.c.study,
        handouts.c.wire == answers.c.wire,
        handouts.c.ended < Now() - older_than_s,
    )
    return connection.execute(sa.delete(answers).where(ended)).rowcount


def _of(study: str, wire: int) -> tuple[sa.ColumnElement[bool], ...]:
    return answers.c.study == study, answers.c.wire == wire
