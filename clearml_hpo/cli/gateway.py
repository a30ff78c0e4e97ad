"""``clearml-hpo gateway``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.gateway_backup import backup, restore
from clearml_hpo.cli.gateway_database import check_extra, database_option
from clearml_hpo.cli.gateway_running import PORT, login_link, run, start, status, stop
from clearml_hpo.cli.gateway_studies import study
from clearml_hpo.cli.gateway_tokens import token
from clearml_hpo.cli.gateway_users import user

_FILE = click.Path(path_type=Path)


@click.group()
def gateway() -> None:
    """Let whoever can send an HTTP request run trials of a study.

    \b
    Examples:
      clearml-hpo gateway run
      clearml-hpo gateway start                in the background; stop, status
      clearml-hpo gateway study add study.yaml
      clearml-hpo gateway study list
      clearml-hpo gateway token new "batch jobs" --kind hopaas --valid 60d
      clearml-hpo gateway login-link
      clearml-hpo gateway token list
      clearml-hpo gateway token revoke x7Kq2mPaQ9Lz
      clearml-hpo gateway user role ann owner
      clearml-hpo gateway install --server-name hpo.example.org --output gateway/
    """


for _command in (run, start, stop, status, login_link, study, token, user, backup, restore):
    gateway.add_command(_command)


@gateway.command()
@click.option("--grant", metavar="ROLE", default="", help="A role of PostgreSQL that may then read and write rows.")
@database_option
def migrate(grant: str, database: str | None) -> None:
    """Make the tables of the gateway's database, or bring them to this version.

    Only PostgreSQL needs it: use a role that may make tables, and --grant to let the gateway's own role use them.

    \b
    Examples:
      clearml-hpo gateway migrate --grant gateway
    """
    check_extra()
    from clearml_hpo.gateway import state

    with contextlib.closing(state.database(database)) as found:
        version = found.migrate(grant)
    click.echo(f"{found.name} is at version {version}")


@gateway.command()
@click.option("--server-name", required=True, help="By which clients know it, such as hpo.example.org.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(1, 65535), help="Of the gateway itself.")
@click.option("--listen", default=443, show_default=True, type=click.IntRange(1, 65535), help="Of NGINX.")
@click.option("--certificate", type=_FILE, help="Default: Let's Encrypt's place for the server name.")
@click.option("--key", type=_FILE, help="The certificate's key.")
@click.option("--logs", type=_FILE, default="/var/log/nginx", show_default=True, help="Folder of NGINX's logs.")
@click.option("--run-as", "user", default="clearml-hpo", show_default=True, help="Whom systemd runs it as.")
@click.option("--nginx", is_flag=True, help="Only the file for NGINX.")
@click.option("--systemd", is_flag=True, help="Only the file for systemd.")
@click.option("--output", "folder", required=True, type=_FILE, metavar="DIR", help="Where the files go.")
@click.option("--force", is_flag=True, help="Overwrite files that differ.")
def install(nginx: bool, systemd: bool, folder: Path, force: bool, **given: Any) -> None:
    """Write a file for NGINX, which adds TLS and keeps tokens out of its logs, and a systemd unit.

    Starts nothing, and prints what to type then. No file has a secret.

    \b
    Examples:
      clearml-hpo gateway install --server-name hpo.example.org --output gateway/
    """
    from clearml_hpo.deployment.files import write
    from clearml_hpo.gateway.install import NGINX, UNIT, Site, next_commands, render_files

    live = Path("/etc/letsencrypt/live") / given["server_name"]
    files = {
        "certificate": given.pop("certificate") or live / "fullchain.pem",
        "key": given.pop("key") or live / "privkey.pem",
    }
    site = Site(**given, **files)
    which = [name for name, wanted in ((NGINX, nginx), (UNIT, systemd)) if wanted or not (nginx or systemd)]
    for name, word in write(render_files(site, which), folder, force=force).items():
        click.echo(f"{word:<9} {folder / name}")
    click.echo("then:")
    for command, why in next_commands(site, folder, which).items():
        click.echo(f"  {command}{f'    # {why}' if why else ''}")
