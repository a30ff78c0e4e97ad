"""Users, projects, and who may do what in which project."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import sqlalchemy as sa

from clearml_hpo.gateway.db.columns import Now, insert_if_new, now
from clearml_hpo.gateway.db.tables import memberships, projects, sessions, users

LOCAL = "local"
"""The issuer of users who have no log-in: those who use the command line of the gateway's machine."""


class Role(str, Enum):
    """What a user is in a project; each may do what those below it may."""

    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"


@dataclass(frozen=True)
class User:
    """Somebody, by who says so (``iss``) and by what name (``sub``); never by an e-mail address."""

    id: str
    iss: str
    sub: str
    name: str
    email: str
    is_admin: bool
    disabled_at: float | None
    created: float


@dataclass(frozen=True)
class Project:
    """What users share: its studies are in one ClearML project."""

    id: str
    name: str
    clearml_project: str
    created: float


def new_id() -> str:
    """A fresh id of 12 characters."""
    return secrets.token_hex(6)


def ensure_user(
    connection: sa.Connection, iss: str, sub: str, *, name: str = "", email: str = "", is_admin: bool = False
) -> User:
    """The user, made at the first log-in; name and e-mail are those of the last one."""
    values = {
        "id": new_id(),
        "iss": iss,
        "sub": sub,
        "name": name,
        "email": email,
        "is_admin": is_admin,
        "created": now(connection),
    }
    same = (users.c.iss == iss) & (users.c.sub == sub)
    if not insert_if_new(connection, users, values):
        connection.execute(sa.update(users).where(same).values(name=name, email=email))
    return User(*connection.execute(sa.select(users).where(same)).one())


def user(connection: sa.Connection, user_id: str) -> User | None:
    """The user of this id; None if there is none."""
    row = connection.execute(sa.select(users).where(users.c.id == user_id)).one_or_none()
    return User(*row) if row else None


def listed_users(connection: sa.Connection) -> Sequence[User]:
    """All users, the oldest first."""
    return [User(*row) for row in connection.execute(sa.select(users).order_by(users.c.created, users.c.id))]


def find_users(connection: sa.Connection, who: str) -> Sequence[User]:
    """The user of this id; if there is none, those whom a provider knows by this name (``sub``)."""
    by_id = user(connection, who)
    if by_id is not None:
        return [by_id]
    return [User(*row) for row in connection.execute(sa.select(users).where(users.c.sub == who))]


def disable(connection: sa.Connection, user_id: str) -> None:
    """Locks a user out: tokens and sessions count no longer."""
    connection.execute(sa.update(users).where(users.c.id == user_id).values(disabled_at=now(connection)))
    open_ = (sessions.c.user == user_id) & sessions.c.ended.is_(None)
    connection.execute(sa.update(sessions).where(open_).values(ended=Now()))


def enable(connection: sa.Connection, user_id: str) -> None:
    """Lets a user in again: tokens count again, sessions that were ended do not."""
    connection.execute(sa.update(users).where(users.c.id == user_id).values(disabled_at=None))


def ensure_project(connection: sa.Connection, name: str, clearml_project: str = "") -> Project:
    """The project, made if there is none; ``clearml_project`` is where its studies go (default: its name)."""
    values = {"id": new_id(), "name": name, "clearml_project": clearml_project or name, "created": now(connection)}
    insert_if_new(connection, projects, values)
    return Project(*connection.execute(sa.select(projects).where(projects.c.name == name)).one())


def project(connection: sa.Connection, project_id: str) -> Project | None:
    """The project of this id; None if there is none."""
    row = connection.execute(sa.select(projects).where(projects.c.id == project_id)).one_or_none()
    return Project(*row) if row else None


def find_project(connection: sa.Connection, name: str) -> Project | None:
    """The project of this name; None if there is none."""
    row = connection.execute(sa.select(projects).where(projects.c.name == name)).one_or_none()
    return Project(*row) if row else None


def listed_projects(connection: sa.Connection) -> Sequence[Project]:
    """All projects by name."""
    return [Project(*row) for row in connection.execute(sa.select(projects).order_by(projects.c.name))]


def set_role(connection: sa.Connection, project_id: str, user_id: str, role: Role | None) -> None:
    """Makes a user a member, or with None no longer one."""
    same = (memberships.c.project == project_id) & (memberships.c.user == user_id)
    connection.execute(sa.delete(memberships).where(same))
    if role is not None:
        connection.execute(sa.insert(memberships).values(project=project_id, user=user_id, role=role.value))


def role(connection: sa.Connection, project_id: str, user_id: str) -> Role | None:
    """What a user is in a project; None if nothing, or if the user is disabled. Admins own every project."""
    query = (
        sa.select(memberships.c.role, users.c.is_admin)
        .select_from(
            users.outerjoin(memberships, (memberships.c.user == users.c.id) & (memberships.c.project == project_id))
        )
        .where(users.c.id == user_id, users.c.disabled_at.is_(None))
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Role.OWNER if row.is_admin else Role(row.role) if row.role else None


def projects_of(connection: sa.Connection, user_id: str) -> dict[str, Role]:
    """A user's projects by id."""
    rows = connection.execute(sa.select(memberships.c.project, memberships.c.role).where(memberships.c.user == user_id))
    return {found: Role(named) for found, named in rows}


def roles_of(connection: sa.Connection, user_id: str) -> Mapping[str, Role]:
    """What a user was made in each project, by the project's name; also while the user is disabled."""
    roles = projects_of(connection, user_id)
    return {each.name: roles[each.id] for each in listed_projects(connection) if each.id in roles}


def seen_projects(connection: sa.Connection, user_id: str) -> Mapping[str, tuple[Project, Role]]:
    """The projects that a user has a role in, by id, in the order of their names: all for admins, none if disabled."""
    found = user(connection, user_id)
    if found is None or found.disabled_at is not None:
        return {}
    roles = projects_of(connection, user_id)
    those = listed_projects(connection)
    return {
        each.id: (each, Role.OWNER if found.is_admin else roles[each.id])
        for each in those
        if found.is_admin or each.id in roles
    }
