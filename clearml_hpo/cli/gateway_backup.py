"""``clearml-hpo gateway backup`` and ``gateway restore``: the database of SQLite."""

from __future__ import annotations

from pathlib import Path

import click

from clearml_hpo.cli.gateway_database import check_extra, database_option


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@database_option
def backup(file: Path, force: bool, database: str | None) -> None:
    """Write the gateway's database to FILE, also while the gateway runs and is in use. Only for SQLite.

    Hashes of tokens are in it, and no token. The key of the hashes is not: keep `gateway/pepper` of the state
    directory, or what is in CLEARML_HPO_GATEWAY_PEPPER, apart from it. PostgreSQL has pg_dump.

    \b
    Examples:
      clearml-hpo gateway backup monday.sqlite3
    """
    check_extra()
    from clearml_hpo.gateway.db import backup as backups

    size = backups.write(_file_of(database), file, force=force)
    click.echo(f"{file}: {size / 2**20:.1f} MiB, without the key of the tokens' hashes")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the database that there is.")
@database_option
def restore(file: Path, force: bool, database: str | None) -> None:
    """Make the gateway's database of a FILE that `gateway backup` has written; then start the gateway.

    No gateway may run. Tokens that were revoked since count again; trials that were handed out since are unknown to it,
    and run again where `failures.lost` of their study says so.

    \b
    Examples:
      clearml-hpo gateway restore monday.sqlite3 --force
    """
    check_extra()
    from clearml_hpo.gateway import running
    from clearml_hpo.gateway.db import backup as backups

    place = _file_of(database)
    with running.only_one():
        backups.restore(file, place, force=force)
    click.echo(f"restored to {place}")
    click.echo("to start the gateway:  clearml-hpo gateway start")


def _file_of(database: str | None) -> Path:
    from clearml_hpo.gateway import state

    return state.database(database).file
