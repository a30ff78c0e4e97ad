"""``clearml-hpo server``: an embedded ClearML-compatible server for this machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from clearml_hpo import settings
from clearml_hpo.errors import ServerError

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the server keeps its keys, database and files. Default: server/ in the state directory "
    "(CLEARML_HPO_HOME).",
)


_LOOPBACK = ("127.0.0.1", "::1", "localhost")


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
      clearml-hpo server status --json
      clearml-hpo server stop
    """


def _command(function: Callable[..., Any]) -> click.Command:
    return server.command()(_data(function))


@_command
def start(data: Path | None) -> None:
    """Start the server in the background; one that already runs is left as it is, and stays after `run --local`.

    It listens on this machine only. Its API and files need its keys; its pages know the user who started it, and ask
    everybody else for a key pair.

    \b
    Example:
      clearml-hpo server start --data ./clearml-data
    """
    from clearml_hpo.server import process

    running = process.start(_data_dir(data))
    click.echo(f"running (process {running.pid}), data in {running.data_dir}")
    click.echo(f"  API   {running.address.api}\n  files {running.address.files}\n  web   {running.address.web}")
    click.echo(f'to use it in this shell:  eval "$(clearml-hpo server env{_option(data)})"')


@_command
def stop(data: Path | None) -> None:
    """Stop the server. Tasks, queues and files stay for the next start."""
    from clearml_hpo.server import process

    was_running = process.stop(_data_dir(data))
    click.echo("stopped" if was_running else f"no server was running on {_data_dir(data)}")


@server.command()
@_data
@click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")
def status(data: Path | None, as_json: bool) -> None:
    """Say whether the server runs, and where."""
    from clearml_hpo.server import process

    running = process.status(_data_dir(data))
    if as_json:
        click.echo(json.dumps(_facts(running) if running else {"running": False}))
    elif running is None:
        click.echo(
            f"no server is running on {_data_dir(data)}; start one with: clearml-hpo server start{_option(data)}"
        )
    else:
        for name, value in _facts(running).items():
            click.echo(f"{name:9} {value}")


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
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--with-parent", is_flag=True, hidden=True, help="End when no process holds this server.")
def run(data: Path | None, host: str, with_parent: bool) -> None:
    """Serve in the foreground until Ctrl-C.

    \b
    Example:
      clearml-hpo server run --data ./clearml-data
    """
    from clearml_hpo.server import process

    if host not in _LOOPBACK:
        click.echo(
            f"warning: listening on {host}: keys and data travel unencrypted, those of a log-in to the pages too",
            err=True,
        )
    process.run(_data_dir(data), host=host, held=with_parent)


def _option(data: Path | None) -> str:
    return f" --data {shlex.quote(str(data))}" if data is not None else ""
