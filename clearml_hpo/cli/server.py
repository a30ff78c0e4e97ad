"""``clearml-hpo server``: an embedded ClearML-compatible server for this machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.formats import Out, prints
from clearml_hpo.cli.keys import keys
from clearml_hpo.cli.server_options import run_options
from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine import settings
from clearml_hpo.server.options import Options

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the server keeps its keys, database and files. Default: server/ in the state directory "
    "(CLEARML_HPO_HOME).",
)


def _data_dir(data: Path | None) -> Path:
    return data if data is not None else settings.load().home / "server"


@click.group()
def server() -> None:
    """An embedded ClearML-compatible server: unmodified ClearML programs and agents use it as theirs.

    \b
    Examples:
      clearml-hpo server start                 start it, if it does not run yet
      eval "$(clearml-hpo server env)"         make this shell's ClearML programs use it
      clearml-hpo server env --conf > ~/clearml.conf
      clearml-hpo server status --format json
      clearml-hpo server stop
    """


server.add_command(keys)


def _command(function: Callable[..., Any]) -> click.Command:
    return server.command()(_data(function))


@_command
@run_options
def start(data: Path | None, **options: Any) -> None:
    """Start the server in the background; one that already runs is left as it is, and stays after `run --local`.

    It listens on this machine only, unless told otherwise. Its API and files need its keys; its pages know the user
    who started it, and ask everybody else for a key pair. So does ClearML's web app (--webapp), by any name.

    \b
    Examples:
      clearml-hpo server start --data ./clearml-data
    """
    from clearml_hpo.server import process

    running = process.start(_data_dir(data), options=_warned(Options(**options)))
    click.echo(f"running (process {running.pid}), data in {running.data_dir}")
    click.echo(f"  API   {running.address.api}\n  files {running.address.files}\n  web   {running.address.web}")
    click.echo(f'to use it in this shell:  eval "$(clearml-hpo server env{_option(data)})"')


@_command
def stop(data: Path | None) -> None:
    """Stop the server. Tasks, queues and files stay for the next start.

    \b
    Examples:
      clearml-hpo server stop
    """
    from clearml_hpo.server import process

    was_running = process.stop(_data_dir(data))
    click.echo("stopped" if was_running else f"no server was running on {_data_dir(data)}")


@server.command()
@_data
@prints("table", "json")
def status(data: Path | None, out: Out) -> None:
    """Say whether the server runs, and where.

    \b
    Examples:
      clearml-hpo server status
      clearml-hpo server status --format json
    """
    from clearml_hpo.server import process

    running = process.status(_data_dir(data))
    if out.is_json:
        out.json(_facts(running) if running else {"running": False}, indent=None)
    elif running is None:
        out.show(f"no server is running on {_data_dir(data)}; start one with: clearml-hpo server start{_option(data)}")
    else:
        out.show(*(f"{name:9} {value}" for name, value in _facts(running).items()))


def _facts(running: Any) -> dict[str, Any]:
    return {
        "running": True,
        "pid": running.pid,
        "data": str(running.data_dir),
        "api": running.address.api,
        "files": running.address.files,
        "web": running.address.web,
    }


@server.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_data
@click.option("--files", is_flag=True, help="With what was uploaded: artifacts, models, images.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(file: Path, data: Path | None, files: bool, force: bool) -> None:
    """Write all that the server remembers to FILE (a tar archive), also while it runs and is in use.

    The database, the owner's key pair and the ports are in it; uploaded files only with --files. Keep it as safe as
    a key. `server restore` makes a server's data of it again.

    \b
    Examples:
      clearml-hpo server backup monday.tar --files
    """
    from clearml_hpo.server import backup as backups

    done = backups.write(_data_dir(data), file, files=files, force=force)
    what = "without the uploaded files (--files)" if done.files is None else f"with {done.files} uploaded files"
    click.echo(f"{done.path}: {done.size / 2**20:.1f} MiB, {what}")


@server.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@_data
@click.option("--force", is_flag=True, help="Replace what is in the data directory.")
def restore(file: Path, data: Path | None, force: bool) -> None:
    """Make a server's data of a FILE that `server backup` has written; then start the server on it.

    \b
    Examples:
      clearml-hpo server restore monday.tar --data ./clearml-data
      clearml-hpo server start --data ./clearml-data
    """
    from clearml_hpo.server import backup as backups

    done = backups.restore(file, _data_dir(data), force=force)
    click.echo(f"restored to {_data_dir(data)}, with {done.files or 'no'} uploaded files")
    click.echo(f"to start the server:  clearml-hpo server start{_option(data)}")


@server.command()
@_data
@click.option("--conf", is_flag=True, help="A clearml.conf instead of shell exports.")
def env(data: Path | None, conf: bool) -> None:
    """Print what makes ClearML programs use this server: shell exports, or a clearml.conf.

    \b
    Examples:
      eval "$(clearml-hpo server env)"
      clearml-hpo server env --conf > clearml.conf
    """
    from clearml_hpo.server import process

    running = process.status(_data_dir(data))
    if running is None:
        raise ServerError(
            f"no server is running on {_data_dir(data)}; start one with: clearml-hpo server start{_option(data)}"
        )
    click.echo(_conf(running.address) if conf else _exports(running.address))


def _exports(address: settings.ServerAddress) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in address.environ().items())


def _conf(address: settings.ServerAddress) -> str:
    quoted = {name: json.dumps(value) for name, value in vars(address).items()}
    return (
        "api {{\n  web_server: {web}\n  api_server: {api}\n  files_server: {files}\n"
        '  credentials {{\n    "access_key" = {access_key}\n    "secret_key" = {secret_key}\n  }}\n}}'
    ).format(**quoted)


@server.command()
@_data
@click.option("--with-parent", is_flag=True, hidden=True, help="End when no process holds this server.")
@run_options
def run(data: Path | None, with_parent: bool, **options: Any) -> None:
    """Serve in the foreground until Ctrl-C.

    \b
    Examples:
      clearml-hpo server run --data ./clearml-data
    """
    from clearml_hpo.server import serving

    serving.run(_data_dir(data), held=with_parent, options=_warned(Options(**options)))


def _warned(options: Options) -> Options:
    if not options.is_local:
        click.echo(
            f"warning: listening on {options.host}: keys and data travel unencrypted, "
            "those of a log-in to the pages too",
            err=True,
        )
    return options


def _option(data: Path | None) -> str:
    return f" --data {shlex.quote(str(data))}" if data is not None else ""
