"""``clearml-hpo server keys``: key pairs for other users, machines and jobs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from clearml_hpo.cli.formats import Out, moment, prints
from clearml_hpo.machine import settings
from clearml_hpo.server import clock

_COLUMNS = ("label", "access_key", "created", "last_used", "revoked")

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The server's data. Default: server/ in the state directory (CLEARML_HPO_HOME).",
)


def _data_dir(data: Path | None) -> Path:
    return data if data is not None else settings.load().home / "server"


@click.group()
def keys() -> None:
    """Key pairs for other users, machines and jobs, beside your own, which `server env` prints.

    They can be added and revoked at any time, whether or not the server runs.

    \b
    Examples:
      clearml-hpo server keys add ci
      clearml-hpo server keys list
      clearml-hpo server keys revoke ci
    """


@keys.command()
@click.argument("label")
@_data
@prints("table", "json")
def add(label: str, data: Path | None, out: Out) -> None:
    """Make a key pair and print it, this one time: the server keeps only a hash of the secret.

    LABEL says whose it is.

    \b
    Examples:
      clearml-hpo server keys add "gpu box 2" --format json
    """
    from clearml_hpo.server import keys as pairs

    pair = pairs.add(_data_dir(data), label)
    if out.is_json:
        out.json(asdict(pair))
        return
    out.text(f"access_key {pair.access_key}\nsecret_key {pair.secret_key}\n")
    click.echo("the secret is not shown again", err=True)


@keys.command(name="list")
@_data
@prints("table", "json", "csv")
def list_(data: Path | None, out: Out) -> None:
    """List the key pairs: label, access key, when they were made, last used, and revoked.

    \b
    Examples:
      clearml-hpo server keys list --format json
    """
    from rich.table import Table

    from clearml_hpo.server import keys as pairs

    found = pairs.listed(_data_dir(data))
    table = Table("label", "access key", "created", "last used", "revoked", box=None)
    for key in found:
        # When the owner's own pair was used is not noted.
        times = (key.created, key.last_used, key.revoked)
        table.add_row(key.label, key.access_key, *(_moment(each) for each in times))
    out.rows([asdict(key) for key in found], _COLUMNS, table)


def _moment(text: str | None) -> str:
    return moment(clock.parse(text).timestamp()) if text else ""


@keys.command()
@click.argument("name", metavar="LABEL|ACCESS_KEY")
@_data
def revoke(name: str, data: Path | None) -> None:
    """Refuse a key pair from now on, with all tokens that were given out for it. Again is no error.

    \b
    Examples:
      clearml-hpo server keys revoke ci
    """
    from clearml_hpo.server import keys as pairs

    key = pairs.revoke(_data_dir(data), name)
    click.echo(f"{key.label} ({key.access_key}) is revoked")
