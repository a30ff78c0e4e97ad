"""``clearml-hpo gateway``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.connection import say, use_lasting_server
from clearml_hpo.cli.formats import Out, prints
from clearml_hpo.cli.gateway_backup import backup, restore
from clearml_hpo.cli.gateway_database import PROJECT, check_extra, database_option, open_database
from clearml_hpo.cli.gateway_running import PORT, login_link, run, start, status, stop
from clearml_hpo.cli.gateway_tokens import token
from clearml_hpo.cli.gateway_users import user
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import InputError

_FILE = click.Path(path_type=Path)


@click.group()
def gateway() -> None:
    """Let whoever can send an HTTP request run trials of a study.

    \b
    Examples:
      clearml-hpo gateway run
      clearml-hpo gateway start                in the background; stop, status
      clearml-hpo gateway study add study.yaml
      clearml-hpo gateway token new "batch jobs" --kind hopaas --valid 60d
      clearml-hpo gateway login-link
      clearml-hpo gateway token list
      clearml-hpo gateway token revoke x7Kq2mPaQ9Lz
      clearml-hpo gateway user role ann owner
      clearml-hpo gateway install --server-name hpo.example.org --output gateway/
    """


for _command in (run, start, stop, status, login_link, token, user, backup, restore):
    gateway.add_command(_command)


@gateway.group()
def study() -> None:
    """Have the gateway drive studies of ordinary study files.

    \b
    Examples:
      clearml-hpo gateway study add study.yaml
    """


@study.command(name="add")
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--project", default=PROJECT, show_default=True, help="Whose tokens may ask for its trials.")
@click.option(
    "--lease", callback=duration, default="10m", show_default=True, help="How long a silent worker is waited for."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override: budget.trials=5.")
@click.option("--new", is_flag=True, help="Also if there is a study of this name in its ClearML project.")
@click.option("--local", is_flag=True, help="On the embedded server, also if another one is configured.")
@database_option
@prints("table", "json", to_file=False)
def add(
    study_file: Path,
    project: str,
    lease: float,
    overrides: tuple[str, ...],
    new: bool,
    local: bool,
    database: str | None,
    out: Out,
) -> None:
    """Have the gateway drive a study, of which some queue is `outside`: [gpu, outside] shares it with agents.

    A gateway that runs opens it within seconds; else the next one does. Workers find it by its name. A script that
    never ran is tried on the other queues first: outside workers get trials after that.

    \b
    Examples:
      clearml-hpo gateway study add study.yaml --set execution.queue=outside
    """
    check_extra()
    say(f"reading {study_file}")  # the libraries for that take a moment
    from clearml_hpo.backend.api import Api
    from clearml_hpo.backend.study_records import read_study
    from clearml_hpo.controller.launch import draft_study
    from clearml_hpo.controller.policy import goes_outside
    from clearml_hpo.controller.rehearsal import rehearse
    from clearml_hpo.gateway.db import accounts, studies
    from clearml_hpo.gateway.v1.names import suid_of
    from clearml_hpo.study_file import load_study

    file = load_study(study_file, overrides)
    if not goes_outside(file):
        raise InputError(f"{study_file}: execution.queue: no trial goes to outside workers; add the queue `outside`")
    rehearse(file, is_driven_here=False)
    use_lasting_server(local=local)
    with open_database(database) as opened:
        name = file.spec.study
        with opened.write() as connection:
            where = accounts.ensure_project(connection, project)
            known = studies.find(connection, where.id, suid_of(name))
        if known is not None:
            raise InputError(f"the gateway has a study {name!r} in project {project} already: {known.id}")
        api = Api()
        task = draft_study(api, file, new=new)
        text = read_study(api, task.task_id).study_yaml
        with opened.write() as connection:
            row = studies.add(
                connection,
                where.id,
                suid_of(name),
                name=name,
                file=text,
                controller=task.task_id,
                lease_s=lease,
            )
    if out.is_json:
        out.json({"study": row.id, "controller": task.task_id, "url": task.url})
        return
    out.show(f"study {name}: {row.id}", task.url)


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
