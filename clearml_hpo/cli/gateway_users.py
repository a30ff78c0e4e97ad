"""``clearml-hpo gateway user``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.formats import Out, moment, prints
from clearml_hpo.cli.gateway_database import PROJECT, database_option, me, open_database
from clearml_hpo.core.errors import InputError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from clearml_hpo.gateway.db.accounts import User

_COLUMNS = ("id", "sub", "iss", "name", "email", "is_admin", "roles", "created", "disabled_at")
_ROLES = ("viewer", "member", "owner", "none")


@click.group()
def user() -> None:
    """List users of the gateway, give them roles in projects, lock them out.

    A user appears at the first log-in at a provider; who uses this command line is an administrator.

    \b
    Examples:
      clearml-hpo gateway user list
      clearml-hpo gateway user role ann owner --project vision
      clearml-hpo gateway user disable 3f9c2a51d0e7
    """


@user.command(name="list")
@database_option
@prints("table", "json", "csv")
def list_(database: str | None, out: Out) -> None:
    """List the users: who says who they are, their roles, and whether they are locked out.

    \b
    Examples:
      clearml-hpo gateway user list --format json
    """
    from rich.markup import escape
    from rich.table import Table

    with open_database(database) as opened, opened.read() as connection:
        from clearml_hpo.gateway.db import accounts

        rows: list[dict[str, Any]] = []
        for each in accounts.listed_users(connection):
            seen = {} if each.is_admin else accounts.roles_of(connection, each.id)
            roles = {project: role.value for project, role in seen.items()}
            rows.append({key: roles if key == "roles" else getattr(each, key) for key in _COLUMNS})
    table = Table(*(column.replace("_", " ").removesuffix(" at") for column in _COLUMNS), box=None)
    for row in rows:
        shown = ", ".join(f"{project}: {role}" for project, role in row["roles"].items())
        texts = (row["id"], row["sub"], row["iss"], row["name"], row["email"], "yes" if row["is_admin"] else "", shown)
        table.add_row(*map(escape, texts), moment(row["created"]), moment(row["disabled_at"]))
    out.rows(rows, _COLUMNS, table)


@user.command()
@click.argument("who", metavar="USER")
@click.argument("named", metavar="ROLE", type=Choice(_ROLES))
@click.option("--project", default=PROJECT, show_default=True, help="In which project.")
@database_option
@prints("table", "json", to_file=False)
def role(who: str, named: str, project: str, database: str | None, out: Out) -> None:
    """Give a user a role in a project: viewer, member, owner, or none.

    USER is the id, or the name by which the provider knows the user (`sub`), if only one has it. The role counts at
    the next request of a page, and within 5 s for the user's tokens.

    \b
    Examples:
      clearml-hpo gateway user role ann member
      clearml-hpo gateway user role ann none --project vision
    """
    with open_database(database) as opened, opened.write() as connection:
        from clearml_hpo.gateway.db import accounts, audit

        found = _find(connection, who)
        if found.is_admin:
            raise InputError(f"user {who} is an administrator, who owns every project")
        where = accounts.find_project(connection, project)
        if where is None:
            known = ", ".join(each.name for each in accounts.listed_projects(connection)) or "none yet"
            raise InputError(f"--project: found {project!r}; the gateway has: {known}")
        accounts.set_role(connection, where.id, found.id, None if named == "none" else accounts.Role(named))
        audit.note(connection, "role set", user=me(), target=f"{found.id} {where.name} {named}", project=where.id)
    _said(out, f"{found.sub}: {named} in {project}", id=found.id, project=project, role=named)


@user.command()
@click.argument("who", metavar="USER")
@database_option
@prints("table", "json", to_file=False)
def disable(who: str, database: str | None, out: Out) -> None:
    """Lock a user out: sessions end at once, tokens are refused within 5 s. Again is no error.

    \b
    Examples:
      clearml-hpo gateway user disable ann
    """
    _lock(who, database, out, is_locked=True)


@user.command()
@click.argument("who", metavar="USER")
@database_option
@prints("table", "json", to_file=False)
def enable(who: str, database: str | None, out: Out) -> None:
    """Let a user in again: tokens that are still valid count again, sessions stay ended.

    \b
    Examples:
      clearml-hpo gateway user enable ann
    """
    _lock(who, database, out, is_locked=False)


def _lock(who: str, database: str | None, out: Out, *, is_locked: bool) -> None:
    word = "disabled" if is_locked else "enabled"
    with open_database(database) as opened, opened.write() as connection:
        from clearml_hpo.gateway.db import accounts, audit

        found = _find(connection, who)
        if (found.disabled_at is not None) != is_locked:
            change = accounts.disable if is_locked else accounts.enable
            change(connection, found.id)
            audit.note(connection, f"user {word}", user=me(), target=found.id)
    _said(out, f"{found.sub} is {word}", id=found.id, state=word)


def _find(connection: sa.Connection, who: str) -> User:
    from clearml_hpo.gateway.db import accounts

    found = accounts.find_users(connection, who)
    if not found:
        raise InputError(f"there is no user {who}; `clearml-hpo gateway user list` shows all")
    if len(found) > 1:
        raise InputError(f"{who}: several users have this name; give the id: {', '.join(each.id for each in found)}")
    return found[0]


def _said(out: Out, line: str, **data: str) -> None:
    if out.is_json:
        out.json(data)
        return
    out.show(line)
