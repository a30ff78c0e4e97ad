"""What ``run`` and ``resume`` have in common: a study is driven here, and shown, until it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import click
from rich.console import Console

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.closing import say_how_it_ended
from clearml_hpo.cli.connection import is_embedded
from clearml_hpo.cli.exits import OF_AN_END
from clearml_hpo.cli.formats import check_writable, write_result, writes_result
from clearml_hpo.core.errors import Fault, InputError
from clearml_hpo.driving.interrupts import stop_on_signals
from clearml_hpo.machine import settings
from clearml_hpo.views.display import view_for
from clearml_hpo.views.json_console import LogFormat, console_for

if TYPE_CHECKING:
    from clearml_hpo.controller.opening import Opened, Opening
    from clearml_hpo.study_file import StudyFile

_Command = TypeVar("_Command", bound=Callable[..., object])


@dataclass(frozen=True)
class Options:
    """The options that ``run`` and ``resume`` share."""

    local: bool
    agents: int | None
    gpus: str | None
    per_gpu: int | None
    cpu: int | None
    threads: int | None
    dask: str | None
    dask_cluster: str | None
    overrides: tuple[str, ...]
    output_file: Path | None
    detach: bool
    take_over: bool
    storage: str | None
    log_format: LogFormat

    @property
    def is_on_this_machine(self) -> bool:
        """Whether trials are to be processes of this machine."""
        return self.gpus is not None or self.cpu is not None

    @property
    def all_overrides(self) -> tuple[str, ...]:
        """Of ``--set``, and of the options that stand for keys of the study file."""
        overrides = list(self.overrides)
        if self.storage:
            overrides.append(f"storage={json.dumps(self.storage)}")
        from clearml_hpo.study_file.overrides import overrides_of_dask, overrides_of_slots

        names = [name.strip() for name in self.gpus.split(",")] if self.gpus is not None else None
        gpus = None if names is None else [int(name) if name.isdecimal() else name for name in names]
        executor = "dask" if self.dask_cluster == "local" else "local"
        of_slots = overrides_of_slots(
            gpus=gpus, per_gpu=self.per_gpu, cpu=self.cpu, threads=self.threads, executor=executor
        )
        return (*overrides, *overrides_of_dask(self.dask, self.dask_cluster), *of_slots)


log_format_option = click.option(
    "--log-format",
    type=Choice(get_args(LogFormat)),
    default="text",
    show_default=True,
    help="json: an object a line with time, level, message and ids, for log collectors.",
)


def driving_options(command: _Command) -> _Command:
    """The options that ``run`` and ``resume`` share, as click takes them."""
    for option in reversed(
        (
            click.option(
                "--local", is_flag=True, help="Embedded server; trials run on this machine, in warm processes."
            ),
            click.option(
                "--agents",
                type=click.IntRange(min=1),
                metavar="N",
                help="With --local: N clearml-agents in their place.",
            ),
            click.option("--gpus", metavar="0,1", help="No agents: run trials here, as processes on these GPUs."),
            click.option("--per-gpu", type=click.IntRange(min=1), metavar="N", help="Trials that share a GPU."),
            click.option("--cpu", type=click.IntRange(min=1), metavar="N", help="No agents: N trials here, on cores."),
            click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of each such trial."),
            click.option("--dask", metavar="ADDRESS", help="Run trials on a Dask cluster: tcp://host:8786."),
            click.option(
                "--dask-cluster",
                metavar="KIND",
                help="Run trials on a Dask cluster that the study starts: local (this machine), slurm, pbs, htcondor, "
                "kubernetes, or a class.",
            ),
            click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override: budget.trials=5."),
            writes_result,
            click.option("--detach", is_flag=True, help="On Ctrl-C leave running trials alone (not with --local)."),
            click.option("--take-over", is_flag=True, help="Displace a controller that drives the study elsewhere."),
            click.option("--storage", metavar="URL", help="Mirror to an Optuna storage: sqlite:///study.db."),
            log_format_option,
        )
    ):
        command = option(command)
    return command


def _check_together(options: Options, *, local: bool) -> None:
    if options.agents is not None and not local:
        raise click.UsageError("--agents is for --local; with your own server: clearml-hpo agents up")
    if options.detach and (local or options.is_on_this_machine):
        raise click.UsageError("--detach leaves trials to agents that stay; with --local, --gpus and --cpu none do")
    if options.dask is not None and options.dask_cluster is not None:
        raise click.UsageError("--dask names a cluster that is there, --dask-cluster starts one: give one of them")
    if options.dask is not None and (options.is_on_this_machine or options.agents is not None):
        raise click.UsageError("--dask runs trials on its cluster, --gpus, --cpu and --agents here: give one of them")
    if options.agents is not None and options.dask_cluster is not None:
        raise click.UsageError("--agents runs trials by agents, --dask-cluster on Dask: give one of them")
    if options.agents is not None and options.is_on_this_machine:
        raise click.UsageError("--agents runs trials by agents, --gpus and --cpu without any: give one of them")


def _check_serves(options: Options, file: StudyFile) -> None:
    """Refuses what does not go together with a gateway in this process."""
    from clearml_hpo.controller.policy import goes_outside

    if options.agents is not None:
        raise click.UsageError("--gateway hands trials out, --agents runs them here: give one of them")
    if options.detach:
        raise click.UsageError("--detach leaves trials to agents that stay; the workers of --gateway lose it")
    if not goes_outside(file):
        fault = "no trial goes to outside workers; add the queue `outside`, or: --set execution.queue=outside"
        raise InputError(file.explain([Fault(("execution", "queue"), fault)]))


def drive(options: Options, find: Callable[[Opening], Opened], served: StudyFile | None = None) -> None:
    """Drives the study that ``find`` opens, and exits with what became of it; ``served`` goes to outside workers."""
    from clearml_hpo.driving.study import Place, open_and_run
    from clearml_hpo.server import process as server_process

    here = settings.load()
    console = console_for(options.log_format)
    local = is_embedded(local=options.local, say=sayer(console))
    _check_together(options, local=local)
    if served is not None:
        _check_serves(options, served)
    if options.output_file is not None:
        check_writable(options.output_file)
    with ExitStack() as stack:
        server = use_embedded_server(stack, console, here) if local else None
        stopped = stack.enter_context(stop_on_signals())
        if served is not None:
            from clearml_hpo.gateway.single import serve_study

            goal, outcome = serve_study(
                served,
                find,
                lambda: view_for(console, served.spec.study, served.goal),
                stopped,
                lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
                take_over=options.take_over,
            )
        else:
            place = Place(stack, sayer(console), here, server, options.agents)
            goal, outcome = open_and_run(
                find,
                place,
                stopped,
                lambda study, goal: view_for(console, study, goal),
                take_over=options.take_over,
                aborts=not options.detach,
            )
        if options.output_file is not None:
            write_result(options.output_file, outcome.result, sayer(console))
    wall_s = outcome.result["wall_s"]
    how = {"status": outcome.status, "reason": outcome.reason, "url": outcome.url}
    say_how_it_ended(console, goal, outcome.trials, wall_s=wall_s, **how)
    if outcome.status != "completed":
        study = f"{outcome.result['study_id']}{' --local' if options.local else ''}"
        console.print(f"to go on: clearml-hpo resume {study}", markup=False, highlight=False, soft_wrap=True)
    if local and server_process.status(here.home / "server") is None:
        console.print("to look at it again: clearml-hpo server start", markup=False, highlight=False)
    sys.exit(OF_AN_END[outcome.status])


def use_embedded_server(stack: ExitStack, console: Console, here: settings.Settings) -> settings.ServerAddress:
    """Starts the embedded server, for as long as ``stack`` is open, and has this process use it."""
    from clearml_hpo.driving.local import embedded_server

    server = stack.enter_context(embedded_server(here, sayer(console)))
    settings.use_server(server)
    return server


def sayer(console: Console) -> Callable[[str], None]:
    """Says things by the way."""
    return lambda text: console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
