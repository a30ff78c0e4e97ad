"""``clearml-hpo worker``."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import click
from click.core import ParameterSource

from clearml_hpo.cli.connection import use_lasting_server
from clearml_hpo.cli.driving import log_format_option
from clearml_hpo.cli.exits import Exit
from clearml_hpo.cli.quantities import duration
from clearml_hpo.cli.slots import slot_options, slots_here
from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.machine import settings, signals
from clearml_hpo.views.json_console import LogFormat, console_for

if TYPE_CHECKING:
    from clearml_hpo.workers.service import LocalWorkers

_LOOK_S = 0.2
"""Pause between two looks at whether a worker is to leave."""
_LOOK_AT_TASK_S = 5.0
"""Period in which a pilot asks whether its own task is to end."""
_PROJECT = "clearml-hpo"
_OF_A_PILOT = ("per_gpu", "cpu", "threads", "min_free_mb", "idle_timeout", "drain_timeout")
_NOT_OF_A_PILOT = ("gpus", "venv", "cold", "once")


@click.command()
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="QUEUE",
    help="A ClearML queue to serve, made if there is none; may be repeated, the first that has a task comes first.",
)
@slot_options
@click.option("--min-free-mb", type=click.IntRange(min=1), metavar="MB", help="GPU memory that one more task needs.")
@click.option(
    "--venv/--no-venv",
    default=True,
    help="A task that asks for packages that this Python lacks is run by clearml-agent, in a virtual environment "
    "(default), or in this Python all the same.",
)
@click.option("--cold", is_flag=True, help="Start a Python for each task; nothing is kept warm.")
@click.option("--once", is_flag=True, help="Leave when the queues are empty and nothing runs.")
@click.option("--idle-timeout", callback=duration, metavar="10m", help="Leave after so long without a task.")
@click.option(
    "--drain-timeout",
    callback=duration,
    metavar="10m",
    help="After a signal running tasks may go on for so long; default: for ever.",
)
@click.option(
    "--as-task",
    "agent_queue",
    metavar="QUEUE",
    help="Run it as a ClearML task: the agents of QUEUE start it, on what they have for themselves. It leaves after "
    "5m without a task, if --idle-timeout does not say otherwise.",
)
@click.option("--count", type=click.IntRange(min=1), default=1, metavar="N", help="With --as-task: so many of them.")
@log_format_option
@click.pass_context
def worker(
    ctx: click.Context,
    queues: tuple[str, ...],
    gpus: str | None,
    per_gpu: int,
    cpu: int | None,
    threads: int | None,
    min_free_mb: int | None,
    venv: bool,
    cold: bool,
    once: bool,
    idle_timeout: float | None,
    drain_timeout: float | None,
    agent_queue: str | None,
    count: int,
    log_format: LogFormat,
) -> None:
    """Serve ClearML queues as agents do, and keep warm what their tasks need.

    Each task is a fork of a process that has imported what the task's script imports: a trial costs what its
    training costs. Agents may serve the same queues. Without --gpus and --cpu: one task per GPU of this machine, or
    per core if it has none. It leaves when its queues are deleted.

    Ctrl-C or SIGTERM: it takes no more tasks and leaves when those that run have ended; a second one ends them, and
    they count as lost, so that a controller runs them again. So does --drain-timeout.

    \b
    Examples:
      clearml-hpo worker --queue quick                              one task per GPU, or per core
      clearml-hpo worker --queue quick --cpu 4 --threads 2          four tasks of two threads
      clearml-hpo worker --queue urgent --queue quick --gpus 0,1 --per-gpu 2
      clearml-hpo worker --queue quick --cpu 8 --idle-timeout 10m   leave after ten minutes without a task
      clearml-hpo worker --queue quick --as-task gpu --count 4      on machines where only agents run
    """
    if agent_queue is not None:
        _run_as_tasks(ctx, queues, agent_queue, count)
        return
    if not queues:
        _as_its_task_says()
    task_id = settings.load().task_id
    slots = slots_here(gpus, per_gpu, cpu, threads, is_pilot=bool(task_id))
    use_lasting_server(local=False, say=sayer_to_stderr(log_format))
    from clearml_hpo.backend.api import Api
    from clearml_hpo.backend.codes import LOST
    from clearml_hpo.backend.names import ensure_queue, find_queues
    from clearml_hpo.backend.pilots import OwnTask
    from clearml_hpo.workers.service import LocalWorkers
    from clearml_hpo.workers.slots import GpuMemory
    from clearml_hpo.workers.task_source import QueueSource

    api, names = Api(), list(dict.fromkeys(queues))
    own = OwnTask(api, task_id) if task_id else None
    # The queue of a study that has ended meanwhile is not made again.
    ids = [*find_queues(api, names, key="--queue").values()] if own else [ensure_queue(api, name) for name in names]
    stops, say = _Stops(), sayer_to_stderr(log_format)
    with signals.handled(dict.fromkeys(signals.ENDS, stops.ask)):
        workers = LocalWorkers(
            slots,
            QueueSource(ids, say),
            "pilot" if own else "worker",
            memory=GpuMemory(min_free_mb) if min_free_mb else None,
            warm=not cold,
            venv=venv,
            image=own.image if own else "",
            closed_reason=f"{LOST} its worker was ended",
            on_note=say,
        )
        first = f"{len(slots)} slot(s) serve {', '.join(names)} (worker {os.getpid()}); Ctrl-C to leave"
        console_for(log_format).print(first, markup=False, highlight=False, soft_wrap=True)
        try:
            patience_s = math.inf if drain_timeout is None else drain_timeout
            is_to_end = own.is_to_end if own else lambda: False
            _serve(workers, stops, 0.0 if once else idle_timeout, patience_s, is_to_end, say)
        finally:
            workers.close()
            if own:
                own.end()


def _as_its_task_says() -> NoReturn:
    """Becomes the command with the options that the hyperparameters of the task around this process give.

    In a task ClearML's SDK, once it is imported, takes over what click parses; hence a process that begins anew.
    """
    task_id = settings.load().task_id
    if not task_id:
        raise click.UsageError("which queue is to be served? give --queue")
    use_lasting_server(local=False)
    from clearml_hpo.backend.api import Api
    from clearml_hpo.backend.pilots import OwnTask

    arguments = OwnTask(Api(), task_id).arguments()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-u", "-m", "clearml_hpo", "worker", *arguments])


def _run_as_tasks(ctx: click.Context, queues: Sequence[str], agent_queue: str, count: int) -> None:
    """Has agents run workers with the options that were given."""
    if not queues:
        raise click.UsageError("which queue is to be served? give --queue")
    given = {name: ctx.params[name] for name in ctx.params if _is_given(ctx, name)}
    if wrong := [name for name in _NOT_OF_A_PILOT if name in given]:
        raise click.UsageError(f"--{wrong[0]} does not go with --as-task: the worker has what its agent has")
    use_lasting_server(local=False)
    from clearml_hpo.backend.api import Api
    from clearml_hpo.backend.names import ensure_project, ensure_queue, find_queues, workers_by_queue
    from clearml_hpo.backend.pilots import IDLE_TIMEOUT_S, create_pilot

    api = Api()
    served = find_queues(api, [agent_queue], key="--as-task")[agent_queue]
    names = list(dict.fromkeys(queues))
    for name in names:
        ensure_queue(api, name)
    options = {name.replace("_", "-"): str(given[name]) for name in _OF_A_PILOT if name in given}
    options = {"queue": ", ".join(names), "idle-timeout": f"{IDLE_TIMEOUT_S:.0f}", **options}
    project_id = ensure_project(api, _PROJECT)
    for _ in range(count):
        task_id = create_pilot(api, name=f"worker of {', '.join(names)}", project_id=project_id, options=options)
        api.call("tasks.enqueue", task=task_id, queue=served)
        click.echo(f"{task_id} waits in queue {agent_queue}: {api.task_url(project_id, task_id)}")
    if not workers_by_queue(api).get(served):
        click.echo(f"no agent serves it yet: clearml-hpo agents up --queue {agent_queue}")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) not in (None, ParameterSource.DEFAULT)


class _Stops:
    """How often this process was asked to end."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = threading.Event()

    def ask(self) -> None:
        """Asks once more."""
        self.count += 1
        signals.set_soon(self.asked)


def _serve(
    workers: LocalWorkers,
    stops: _Stops,
    idle_timeout: float | None,
    drain_s: float,
    task_is_to_end: Callable[[], bool],
    say: Callable[[str], None],
) -> None:
    """Returns when the worker has left; exits if what runs had to be ended."""
    says = True
    ends_at, look_at = math.inf, time.monotonic() + _LOOK_AT_TASK_S
    while stops.count < 2 and time.monotonic() < ends_at and not workers.is_drained:
        stops.asked.wait(_LOOK_S)
        is_idle = idle_timeout is not None and workers.is_idle_for(idle_timeout)
        if stops.count or is_idle or workers.is_without_queues:
            workers.drain()
        if stops.count:
            ends_at = min(ends_at, time.monotonic() + drain_s)
        if stops.count and says and not workers.is_drained:
            say("waiting for running tasks; Ctrl-C or SIGTERM again ends them")
            says = False
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + _LOOK_AT_TASK_S
            if _unless_in_trouble(task_is_to_end):
                say("the task of this worker is to end: its running tasks end too")
                return
        stops.asked.clear()
    if not workers.is_drained:
        sys.exit(Exit.INTERRUPTED)


def _unless_in_trouble(is_to_end: Callable[[], bool]) -> bool:
    try:
        return is_to_end()
    except ClearmlHpoError:  # the server does not answer; it is asked again
        return False


def sayer_to_stderr(log_format: LogFormat) -> Callable[[str], None]:
    """Prints to standard error. The terminal, or the reader of the pipe, may be gone; what runs goes on."""
    console = console_for(log_format, stderr=True)

    def say(text: str) -> None:
        with contextlib.suppress(OSError):
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    return say
