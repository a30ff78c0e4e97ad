"""``clearml-hpo gateway token``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.formats import Out, moment, prints
from clearml_hpo.cli.gateway_database import PROJECT, database_option, me, open_database
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import InputError

if TYPE_CHECKING:
    from clearml_hpo.gateway.auth import NewToken
    from clearml_hpo.gateway.db import Database
    from clearml_hpo.gateway.db.tokens import TokenRow

_COLUMNS = ("id", "kind", "name", "project", "scopes", "created", "expires", "last_used", "revoked_at")
_CLASSES = {"hopaas": "gwh", "api": "gwt"}


@click.group()
def token() -> None:
    """Make, list, rotate and revoke tokens of outside workers and users.

    \b
    Examples:
      clearml-hpo gateway token new "batch jobs" --kind hopaas --valid 60d
      clearml-hpo gateway token list
      clearml-hpo gateway token revoke x7Kq2mPaQ9Lz
    """


@token.command()
@click.argument("name")
@click.option("--kind", type=Choice(tuple(_CLASSES)), default="api", show_default=True, help="For which of the wires.")
@click.option("--project", default=PROJECT, show_default=True, help="For studies of this project.")
@click.option("--scope", "scopes", multiple=True, default=("worker",), show_default=True, help="What it may do.")
@click.option("--valid", callback=duration, default="30d", show_default=True, help="From 1d to 365d.")
@database_option
@prints("table", "json", to_file=False)
def new(
    name: str, kind: str, project: str, scopes: Sequence[str], valid: float, database: str | None, out: Out
) -> None:
    """Make a token and print it, this one time: the gateway keeps only a hash.

    NAME says what it is for. A scope is worker, viewer or owner, or one right such as trials:ask; with !study=ID after
    it, it is for one study.

    \b
    Examples:
      clearml-hpo gateway token new "batch jobs" --kind hopaas
      clearml-hpo gateway token new watcher --scope viewer --valid 1d --format json
    """
    with open_database(database) as opened:
        made = make_token(opened, name, kind, project, scopes, valid)
    _show(made, out)


@token.command(name="list")
@database_option
@prints("table", "json", "csv")
def list_(database: str | None, out: Out) -> None:
    """List the tokens: what they are for, until when they are valid, when they were last used. None is shown itself.

    \b
    Examples:
      clearml-hpo gateway token list --format json
    """
    from rich.markup import escape
    from rich.table import Table

    with open_database(database) as opened, opened.read() as connection:
        from clearml_hpo.gateway.auth import Rights
        from clearml_hpo.gateway.db import accounts, tokens

        found = tokens.listed(connection)
        projects = {row.project: accounts.project(connection, row.project) for row in found}
    table = Table(*(column.replace("_", " ").removesuffix(" at") for column in _COLUMNS), box=None)
    table.columns[0].no_wrap = True
    named = {each: project.name if project else each for each, project in projects.items()}
    rows = [_row(each, named[each.project]) for each in found]
    for row in rows:
        times = (moment(row[key]) for key in ("created", "expires", "last_used", "revoked_at"))
        said = (row["id"], row["kind"], row["name"], row["project"], Rights.parse(row["scopes"].split()).short)
        table.add_row(*map(escape, said), *times)
    out.rows(rows, _COLUMNS, table)


@token.command()
@click.argument("token_id", metavar="ID")
@click.option(
    "--overlap", callback=duration, default="1d", show_default=True, help="How long the old one still counts."
)
@database_option
@prints("table", "json", to_file=False)
def rotate(token_id: str, overlap: float, database: str | None, out: Out) -> None:
    """Make a new token in place of one: the same rights and the same validity, from now on.

    \b
    Examples:
      clearml-hpo gateway token rotate x7Kq2mPaQ9Lz --overlap 2d
    """
    with open_database(database) as opened:
        from clearml_hpo.gateway import state
        from clearml_hpo.gateway.auth import Tokens

        made = Tokens(opened, state.pepper()).rotate(token_id, overlap_s=overlap)
    _show(made, out)


@token.command()
@click.argument("token_id", metavar="ID")
@database_option
def revoke(token_id: str, database: str | None) -> None:
    """Refuse a token; a running gateway does so within 5 s. Again is no error.

    ID stands in the list, and in the token itself, after its first _.

    \b
    Examples:
      clearml-hpo gateway token revoke x7Kq2mPaQ9Lz
    """
    with open_database(database) as opened, opened.write() as connection:
        from clearml_hpo.gateway.db import audit, tokens

        if tokens.find(connection, token_id) is None:
            raise InputError(f"there is no token {token_id}; `clearml-hpo gateway token list` shows all")
        if tokens.revoke(connection, token_id, by=me(), why="on the command line"):
            audit.note(connection, "token revoked", user=me(), token=token_id)
    click.echo(f"{token_id} is revoked")


def make_token(opened: Database, name: str, kind: str, project: str, scopes: Sequence[str], valid_s: float) -> NewToken:
    """A token of the user of this process, who is an administrator here."""
    from clearml_hpo.gateway import state
    from clearml_hpo.gateway.auth import Kind, Rights, Tokens
    from clearml_hpo.gateway.db import accounts

    rights = Rights.parse(scopes)
    with opened.write() as connection:
        owner = accounts.ensure_user(connection, accounts.LOCAL, me(), is_admin=True)
        where = accounts.ensure_project(connection, project)
    return Tokens(opened, state.pepper()).create(
        owner.id, where.id, kind=Kind(_CLASSES[kind]), name=name, rights=rights, lives_s=valid_s
    )


def _row(row: TokenRow, project: str) -> dict[str, Any]:
    kind = next(name for name, of_class in _CLASSES.items() if of_class == row.kind)
    return {**{key: value for key, value in asdict(row).items() if key in _COLUMNS}, "kind": kind, "project": project}


def _show(made: NewToken, out: Out) -> None:
    if out.is_json:
        out.json({"token": made.text.reveal(), "id": made.row.id, "expires": made.row.expires})
        return
    out.text(f"{made.text.reveal()}\n")
    click.echo(f"valid until {moment(made.row.expires)}; it is not shown again", err=True)
