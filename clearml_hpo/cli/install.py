"""``clearml-hpo agents install`` and ``clearml-hpo agents uninstall``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.fleet.install import Machine, Plan, choose_gpus, compose, files, inspect, is_root, systemd
from clearml_hpo.fleet.install.files import Change

Format = Literal["systemd", "compose"]
_Command = TypeVar("_Command", bound=Callable[..., Any])
_CONTROLLERS = 2
_WHERE = (
    click.option(
        "--format",
        "kind",
        type=Choice(["systemd", "compose"]),
        default="systemd",
        show_default=True,
        help="Units, or a compose file and its image.",
    ),
    click.option("--user/--system", "of_user", default=True, help="Units of your own (default), or of the machine."),
    click.option(
        "--directory",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where the files are. Default: where systemd looks for them; clearml-hpo-agents/ for compose.",
    ),
    click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing."),
)


def _where(command: _Command) -> _Command:
    for option in reversed(_WHERE):
        command = option(command)
    return command


@click.command()
@click.option("--queue", default="gpu", show_default=True, help="The queue of the GPUs.")
@click.option(
    "--gpus",
    metavar="0,1|all|none",
    help="One daemon for each of these GPUs. Default: all that nvidia-smi lists.",
)
@click.option("--per-gpu", type=click.IntRange(min=1), default=1, metavar="N", help="Tasks that share a GPU.")
@click.option("--cpu", type=click.IntRange(min=0), default=0, metavar="N", help="A daemon for N tasks without a GPU.")
@click.option("--cpu-queue", default="cpu", show_default=True, metavar="QUEUE", help="The queue of these.")
@click.option(
    "--services",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=str(_CONTROLLERS),
    metavar="[N]",
    help=f"A daemon of the queue `services`, for N controllers at once (default {_CONTROLLERS}): what "
    "`clearml-hpo launch` sends there.",
)
@click.option("--warm", is_flag=True, help="Run trials by `clearml-hpo worker` instead of by agents.")
@click.option("--venv/--no-venv", default=None, help="As for `agents up` and `worker`.")
@click.option(
    "--drain-timeout",
    "drain_s",
    callback=duration,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="How long a daemon that is to end, or a machine that shuts down, waits for the task that runs.",
)
@click.option("--run-as", metavar="USER", help="Whom units of the machine (--system) run as; needed as root.")
@_where
@click.option("--force", is_flag=True, help="Overwrite files that this command has not written.")
def install(
    queue: str,
    gpus: str | None,
    per_gpu: int,
    cpu: int,
    cpu_queue: str,
    services: int | None,
    warm: bool,
    venv: bool | None,
    drain_s: float,
    run_as: str | None,
    kind: Format,
    of_user: bool,
    directory: Path | None,
    dry_run: bool,
    force: bool,
) -> None:
    """Write systemd units, or a compose file, for the GPUs of this machine.

    Looks at the machine, writes what differs from what is there, and says what to type then; starts nothing. The
    server and its keys are read from the clearml.conf of the user whom the daemons run as, and are in none of the
    files. Called again after a change of the machine it names what is no longer wanted.

    \b
    Examples:
      clearml-hpo agents install --queue gpu --dry-run
      clearml-hpo agents install --queue gpu                         one daemon per GPU, started by your own systemd
      clearml-hpo agents install --queue gpu --cpu 4 --services      and four tasks on the cores, and controllers
      clearml-hpo agents install --queue gpu --warm --per-gpu 2      warm workers, two tasks on each GPU
      clearml-hpo agents install --queue gpu --format compose        containers
    """
    machine = inspect(_run_as(kind, of_user, run_as))
    chosen = choose_gpus(gpus, machine.gpus)
    plan = Plan(chosen, queue, per_gpu, cpu, cpu_queue, services or 0, warm, venv, drain_s)
    place = _place(kind, of_user, directory)
    if kind == "systemd":
        texts = systemd.render_files(plan, machine, system=not of_user)
    else:
        texts = compose.render_files(plan, machine)
    changes = files.compare(place, texts, force=force)
    ended = _ended(kind, changes, plan)
    # What was found, and what changes.
    click.echo(str(machine))
    for note in _notes(machine, plan, kind):
        click.echo(f"note: {note}")
    click.echo(str(place))
    _show_changes(changes, ended, [path.name for path in files.ours(place, _names(kind)) if path.name not in texts])
    if dry_run:
        _show_texts(changes)
        return
    files.write(changes)
    if all(change.word == "unchanged" for change in changes):
        return
    if kind == "compose":
        _show_commands(compose.next_commands(place))
    else:
        _show_commands(systemd.next_commands(machine, place, changes, system=not of_user, ended=ended))


@click.command()
@click.argument("names", nargs=-1, metavar="[FILE]...")
@_where
def uninstall(names: tuple[str, ...], kind: Format, of_user: bool, directory: Path | None, dry_run: bool) -> None:
    """Remove what `agents install` has written: all of it, or the named files.

    Stops nothing, and says what to type for that.

    \b
    Examples:
      clearml-hpo agents uninstall
      clearml-hpo agents uninstall clearml-hpo-cpu.service
      clearml-hpo agents uninstall --format compose
    """
    place = _place(kind, of_user, directory)
    there = {path.name: path for path in files.ours(place, _names(kind))}
    chosen = _named(names, there, place)
    if not chosen:
        click.echo(f"{place}: agents install has written nothing here")
        return
    links = systemd.links(place) if there.get(systemd.TARGET) in chosen else []
    click.echo(str(place))
    for path in (*links, *chosen):
        click.echo(f"  {'would go' if dry_run else 'removed':10} {path.relative_to(place)}")
    if dry_run:
        return
    files.remove((*links, *chosen))
    stops = {path.name for path in chosen}
    _show_commands(compose.stop_commands() if kind == "compose" else systemd.stop_commands(stops, system=not of_user))


def _named(names: Sequence[str], there: Mapping[str, Path], place: Path) -> list[Path]:
    """The files of these names; all that are there if none is named."""
    for name in names:
        if name not in there:
            known = ", ".join(there) or "none"
            raise InputError(
                f"{place}: agents install has written no {name}{nearest(name, there)} (there are: {known})"
            )
    return [there[name] for name in names or there]


def _run_as(kind: Format, of_user: bool, run_as: str | None) -> str | None:
    if run_as is not None and (of_user or kind == "compose"):
        raise InputError("--run-as: units of your own, and containers, run as you; it is for --system")
    if run_as is None and not of_user and kind == "systemd" and is_root():
        raise InputError("--system, as root: name the user whom the tasks run as: --run-as USER")
    return run_as


def _place(kind: Format, of_user: bool, directory: Path | None) -> Path:
    if directory is not None:
        return directory.absolute()
    return compose.folder() if kind == "compose" else systemd.folder(not of_user)


def _names(kind: Format) -> Sequence[str]:
    return compose.NAMES if kind == "compose" else systemd.NAMES


def _ended(kind: Format, changes: Sequence[Change], plan: Plan) -> list[str]:
    """What ran by the files that are there and is in the plan no longer."""
    before = {change.path.name: change.before or "" for change in changes}
    if kind == "compose":
        return compose.dropped(before[compose.FILE], plan)
    return systemd.dropped(before[systemd.TARGET], plan)


def _notes(machine: Machine, plan: Plan, kind: Format) -> Iterator[str]:
    if machine.has_config:
        yield f"server and keys are those of {machine.config_file}"
    else:
        yield (
            f"there is no {machine.config_file}, by which the daemons find their server; "
            "keys of this shell's environment are not written into files"
        )
    if plan.gpus and not machine.gpus:
        yield f"nvidia-smi lists no GPU here; written for {', '.join(plan.gpus)} as asked"
    if kind == "systemd" and not machine.has_systemd:
        yield "systemd does not run here; in a container the agents are best run by: clearml-hpo agents run"
    if kind == "compose" and not machine.has_docker:
        yield "there is no docker here: https://docs.docker.com/engine/install"
    if kind == "compose" and plan.gpus and not machine.has_gpu_runtime:
        yield "containers see no GPU without NVIDIA's container toolkit, which is not here"


def _show_changes(changes: Sequence[Change], ended: Sequence[str], stale: Sequence[str]) -> None:
    for change in changes:
        click.echo(f"  {change.word:10} {change.path.name}")
    for name in sorted({*ended, *stale}):
        removal = f" (clearml-hpo agents uninstall {name})" if name in stale else ""
        click.echo(f"  {'not wanted':10} {name}{removal}")


def _show_texts(changes: Sequence[Change]) -> None:
    for change in changes:
        if change.word != "unchanged":
            click.echo(f"\n--- {change.path}\n{change.after}", nl=False)


def _show_commands(commands: Mapping[str, str]) -> None:
    click.echo("then:")
    for command, why in commands.items():
        click.echo(f"  {command}  # {why}" if why else f"  {command}")
