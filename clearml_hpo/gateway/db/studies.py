"""Studies that are open to outside workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clearml_hpo.gateway.db.accounts import new_id
from clearml_hpo.gateway.db.columns import Now, insert_if_new, now
from clearml_hpo.gateway.db.tables import handouts, outbox, studies

ACTIVE, PAUSED, CLOSED = "active", "paused", "closed"
"""States: trials are given; none for now; none any more."""
_DRIVEN = "driven"  # of the limits
_AT_ONCE = 500  # ids in a query
_DAY_S = 86_400
"""Span in which the new studies of a project are counted."""


@dataclass(frozen=True)
class StudyRow:
    """A study as the gateway knows it.

    Attributes:
        suid: how clients know it: what follows from the project and a set-up, or its name.
        set_up: the client's set-up as JSON; empty if it gave a study file.
        file: the study file as YAML.
        controller: id of its ClearML task; empty until a host has opened it for the first time.
        lease_s: how long a hand-out lives without a sign of life, in seconds.
        created_by: id of a token.
    """

    id: str
    project: str
    suid: str
    name: str
    set_up: str
    file: str
    controller: str
    state: str
    lease_s: float
    limits: Mapping[str, Any]
    created_by: str
    created: float


def get_or_create(
    connection: sa.Connection,
    project: str,
    suid: str,
    *,
    name: str,
    set_up: str,
    file: str,
    lease_s: float,
    created_by: str = "",
) -> tuple[StudyRow, bool]:
    """The project's study of this suid, and whether it was made now: of many that ask at once, one makes it."""
    values = {
        "id": new_id(),
        "project": project,
        "suid": suid,
        "name": name,
        "set_up": set_up,
        "file": file,
        "controller": "",
        "state": ACTIVE,
        "lease_s": lease_s,
        "limits": {},
        "created_by": created_by,
        "created": now(connection),
    }
    is_new = insert_if_new(connection, studies, values)
    found = find(connection, project, suid)
    assert found is not None
    return found, is_new


def find(connection: sa.Connection, project: str, suid: str) -> StudyRow | None:
    """The project's study of this suid; None if there is none, also if another project has it."""
    return _one(connection, (studies.c.project == project) & (studies.c.suid == suid))


def add(
    connection: sa.Connection, project: str, suid: str, *, name: str, file: str, controller: str, lease_s: float
) -> StudyRow:
    """A study whose ClearML task there is already, and which is driven also when nobody asks for its trials."""
    row, is_new = get_or_create(connection, project, suid, name=name, set_up="", file=file, lease_s=lease_s)
    if is_new:
        values = {"controller": controller, "limits": {_DRIVEN: True}}
        connection.execute(sa.update(studies).where(studies.c.id == row.id).values(values))
    return by_id(connection, row.id) or row


def to_drive(connection: sa.Connection) -> Sequence[StudyRow]:
    """The active studies that are driven also when nobody asks for their trials."""
    query = sa.select(studies).where(studies.c.state == ACTIVE)
    return [row for row in (StudyRow(*found) for found in connection.execute(query)) if row.limits.get(_DRIVEN)]


def by_id(connection: sa.Connection, study: str) -> StudyRow | None:
    """The study of this id; None if there is none."""
    return _one(connection, studies.c.id == study)


def of_project(connection: sa.Connection, project: str) -> Sequence[StudyRow]:
    """All studies of a project, the newest first."""
    query = sa.select(studies).where(studies.c.project == project).order_by(studies.c.created.desc())
    return [StudyRow(*row) for row in connection.execute(query)]


def listed(connection: sa.Connection) -> Sequence[StudyRow]:
    """All studies, the newest first."""
    return [StudyRow(*row) for row in connection.execute(sa.select(studies).order_by(studies.c.created.desc()))]


def by_controllers(connection: sa.Connection, controllers: Sequence[str]) -> Mapping[str, StudyRow]:
    """The studies of these ClearML tasks, by task."""
    found: dict[str, StudyRow] = {}
    for first in range(0, len(controllers), _AT_ONCE):
        some = controllers[first : first + _AT_ONCE]
        rows = connection.execute(sa.select(studies).where(studies.c.controller.in_(some)))
        found |= {row.controller: StudyRow(*row) for row in rows}
    return found


def under_way(connection: sa.Connection) -> Sequence[StudyRow]:
    """Studies of which trials are out, or something is still to be written to ClearML's server."""
    out = sa.exists().where(handouts.c.study == studies.c.id, handouts.c.state == "out")
    unwritten = sa.exists().where(outbox.c.study == studies.c.id)
    return [StudyRow(*row) for row in connection.execute(sa.select(studies).where(out | unwritten))]


def made_today(connection: sa.Connection, project: str) -> int:
    """How many studies the project has got within 24 hours."""
    recent = (studies.c.project == project) & (studies.c.created > Now() - _DAY_S)
    return int(connection.execute(sa.select(sa.func.count()).select_from(studies).where(recent)).scalar_one())


def set_controller(connection: sa.Connection, study: str, controller: str) -> None:
    """Notes the study's ClearML task."""
    connection.execute(sa.update(studies).where(studies.c.id == study).values(controller=controller))


def set_state(connection: sa.Connection, study: str, state: str) -> None:
    """``ACTIVE``, ``PAUSED`` or ``CLOSED``."""
    connection.execute(sa.update(studies).where(studies.c.id == study).values(state=state))


def _one(connection: sa.Connection, which: sa.ColumnElement[bool]) -> StudyRow | None:
    row = connection.execute(sa.select(studies).where(which)).one_or_none()
    return StudyRow(*row) if row else None
