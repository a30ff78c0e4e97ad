"""``clearml-hpo agents``: clearml-agent daemons on this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from clearml_hpo import fleet
from clearml_hpo.cli import output
from clearml_hpo.cli.connection import is_embedded, lasting_server, say
from clearml_hpo.cli.formats import Out, prints
from clearml_hpo.cli.install import install, uninstall
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import AgentError, InputError
from clearml_hpo.fleet import logtail
from clearml_hpo.fleet.state import FleetFolder
from clearml_hpo.machine import settings
from clearml_hpo.machine.settings import ServerAddress

_Command = TypeVar("_Command", bound=Callable[..., Any])
_NAME = click.option("--name", default="default", show_default=True, help="Which fleet of this machine.")
_PRINTS = prints("table", "json", "csv")
_WHAT = (
    click.option("--queue", required=True, help="The ClearML queue to serve; it is made if there is none."),
    click.option("--gpus", help="One agent per GPU: '0,1', or 'all'."),
    click.option("--cpu", default=0, help="Number of agents without a GPU."),
    click.option(
        "--venv/--no-venv",
        default=False,
        help="Give each task a virtual environment with the packages it asks for, or run it in this "
        "Python (default): some seconds to minutes quicker.",
    ),
    _NAME,
)
_COLUMNS = ("worker", "queue", "gpus", "phase", "pid", "restarts", "task")


def _what(command: _Command) -> _Command:
    for option in reversed(_WHAT):
        command = option(command)
    return command


@click.group()
def agents() -> None:
    """clearml-agent daemons on this machine: one per GPU, watched and restarted.

    \b
    Examples:
      clearml-hpo agents up --queue gpu --gpus 0,1     one agent for GPU 0, one for GPU 1
      clearml-hpo agents up --queue cpu --cpu 4        four agents without a GPU
      clearml-hpo agents status                        what they do
      clearml-hpo agents logs gpu0 -f                  what one of them says
      clearml-hpo agents down                          end them, each after its current task
      clearml-hpo agents down --now                    end them now, running tasks are aborted
      clearml-hpo agents install --queue gpu           units of systemd, or a compose file, for this machine
    """


@agents.command()
@_what
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the agents.")
@_PRINTS
def up(queue: str, gpus: str | None, cpu: int, venv: bool, name: str, timeout: float, out: Out) -> None:
    """Start agents; return when all of them serve the queue.

    Without --gpus and --cpu: one agent per GPU of this machine, or per core if it has none.

    \b
    Examples:
      clearml-hpo agents up --queue gpu
      clearml-hpo agents up --queue gpu --gpus all --cpu 2
      clearml-hpo agents up --queue gpu --gpus 0,0     two agents that share GPU 0
    """
    slots = _slots(queue, gpus, cpu)
    server = _server()
    say(f"starting {len(slots)} agent{'' if len(slots) == 1 else 's'} for queue {queue!r}")
    started = fleet.up(settings.load().home, server, slots, timeout_s=timeout, name=name, venv=venv)
    _show(started, out)


@agents.command()
@_what
@click.option(
    "--drain-timeout",
    "drain_s",
    callback=duration,
    metavar="10m",
    help="After SIGTERM running tasks may go on for so long, then they are lost, and a controller runs them again. "
    "Without it they are aborted.",
)
def run(queue: str, gpus: str | None, cpu: int, venv: bool, name: str, drain_s: float | None) -> None:
    """Run agents in the foreground until Ctrl-C, as a systemd unit does.

    \b
    Examples:
      clearml-hpo agents run --queue gpu --gpus 0,1
      clearml-hpo agents run --queue gpu --gpus 0,1 --drain-timeout 10m
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    slots = _slots(queue, gpus, cpu)
    fleet.run(settings.load().home, _server(), slots, name=name, venv=venv, drain_s=drain_s)


@agents.command()
@_NAME
@_PRINTS
def status(name: str, out: Out) -> None:
    """Show what the agents do.

    \b
    Examples:
      clearml-hpo agents status
      clearml-hpo agents status --format json
    """
    home = settings.load().home
    running = fleet.status(home, name=name)
    if running is None:
        others = [other for other in fleet.fleet_names(home) if fleet.status(home, name=other)]
        known = f"; these fleets are: {', '.join(others)} (--name)" if others else ""
        raise AgentError(f"no agents of fleet {name} are running{known}")
    _show(running, out)


@agents.command()
@_NAME
@click.option("--now", is_flag=True, help="Abort the running tasks instead of waiting for them.")
@click.option("--timeout", default=24 * 3600.0, show_default=True, help="Seconds to wait for running tasks.")
def down(name: str, now: bool, timeout: float) -> None:
    """End the agents: each one ends its current task, takes no new one, and leaves.

    Ctrl-C stops the waiting, not the leaving.

    \b
    Examples:
      clearml-hpo agents down
      clearml-hpo agents down --now
    """
    home = settings.load().home
    running = fleet.status(home, name=name)
    busy = [agent for agent in running.agents if agent.task] if running else []
    if busy and not now:
        click.echo(f"waiting for {len(busy)} running task(s); --now aborts them", err=True)
    ended = fleet.down(home, name=name, now=now, timeout_s=timeout)
    click.echo(f"fleet {name} has ended" if ended else f"no agents were running (fleet {name})")


@agents.command()
@click.argument("worker", required=False)
@_NAME
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines from the end.")
def logs(worker: str | None, name: str, follow: bool, lines: int) -> None:
    """Print the log of one agent, such as gpu0 or cpu1, or of the supervisor.

    \b
    Examples:
      clearml-hpo agents logs              starts, deaths and restarts of all agents
      clearml-hpo agents logs gpu0 -f      what agent gpu0 and its task print
    """
    folder = FleetFolder(settings.load().home, name)
    log = folder.log(worker.rsplit(":", 1)[-1]) if worker else folder.supervisor_log
    if not log.exists():
        known = ", ".join(sorted(path.stem for path in folder.path.glob("*.log"))) or "none"
        raise InputError(f"there is no log {log.name} of fleet {name}; there are: {known}")
    for line in logtail.last_lines(log, lines):
        click.echo(line)
    if follow:
        _follow(log)


agents.add_command(install)
agents.add_command(uninstall)


def _server() -> ServerAddress | None:
    """None for the server that is configured; with none configured, the embedded one if it runs."""
    return lasting_server() if is_embedded(local=False) else None


def _slots(queue: str, gpus: str | None, cpu: int) -> tuple[fleet.AgentSlot, ...]:
    if gpus is None and not cpu:
        return fleet.default_slots(queue, None)
    if gpus == "all":
        listed = fleet.detect_gpus()
        if not listed:
            raise InputError("--gpus all: nvidia-smi finds no GPU here; --cpu N starts agents without one")
    else:
        listed = tuple(gpu.strip() for gpu in (gpus or "").split(",") if gpu.strip())
    return fleet.plan_slots(queue=queue, gpus=listed, cpu=cpu)


def _show(running: fleet.Fleet, out: Out) -> None:
    if out.is_json:
        out.json(running.to_json())
        return
    rows = [_COLUMNS, *(_cells(agent) for agent in running.agents)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    out.rows([dict(zip(_COLUMNS, row, strict=True)) for row in rows[1:]], _COLUMNS, "\n".join(lines))
    for agent in running.agents:
        if agent.note:
            click.echo(f"{agent.worker_id}: {agent.note}", err=out.form != "table")


def _cells(agent: fleet.AgentState) -> tuple[str, ...]:
    gpus = ",".join(agent.slot.gpus) if agent.slot.gpus else "-"
    pid = str(agent.pid or "-")
    return (agent.worker_id, agent.slot.queue, gpus, agent.phase, pid, str(agent.restarts), agent.task or "-")


def _follow(log: Path) -> None:
    position = log.stat().st_size
    while output.is_read():
        size = log.stat().st_size
        if size < position:  # the log was rotated
            position = 0
        if size > position:
            with log.open("rb") as file:
                file.seek(position)
                new = file.read()
            position += len(new)
            for line in new.decode(errors="replace").splitlines():
                if not logtail.is_idle_noise(line):
                    click.echo(line)
        time.sleep(0.3)
