"""What the commands of ``clearml-hpo gateway`` share: the database that they open, and whose command it is."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from clearml_hpo.core.choices import check_packages

if TYPE_CHECKING:
    from clearml_hpo.gateway.db import Database

PROJECT = "clearml-hpo-outside"
"""The project of tokens and studies for which none is named."""
_PACKAGES = ("alembic", "fastapi", "sqlalchemy")

database_option = click.option(
    "--database",
    metavar="URL",
    help="The gateway's database. Default: CLEARML_HPO_GATEWAY_DATABASE, or a file of SQLite in CLEARML_HPO_HOME.",
)


def me() -> str:
    """The name of the user of this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return str(os.getuid())


def check_extra() -> None:
    """Says in one line which package is missing. Raises InputError."""
    check_packages("the gateway", _PACKAGES, extra="gateway")


@contextlib.contextmanager
def open_database(url: str | None) -> Iterator[Database]:
    """The gateway's database, ready to be used."""
    check_extra()
    from clearml_hpo.gateway import state

    with contextlib.closing(state.database(url)) as found:
        found.open()
        yield found
