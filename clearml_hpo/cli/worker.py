"""``clearml-hpo worker``."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from clearml_hpo.cli.connection import use_lasting_server
from clearml_hpo.cli.quantities import duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from clearml_hpo.executors import Slot
    from clearml_hpo.executors.workers import LocalWorkers

_LOOK_S = 0.2
_INTERRUPTED = 130


@click.command(
    epilog="Exit codes: 0 it has left and all that it ran has ended, 1 failed, 2 bad input, 130 what ran was ended."
)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    required=True,
    metavar="QUEUE",
    help="A ClearML queue to serve, made if there is none; may be repeated, the first that has a task comes first.",
)
@click.option("--gpus", metavar="0,1", help="Run tasks on these GPUs, each seeing its own.")
@click.option("--per-gpu", type=click.IntRange(min=1), default=1, metavar="N", help="Tasks that share a GPU.")
@click.option("--cpu", type=click.IntRange(min=1), metavar="N", help="Run N tasks at once on the cores.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of each task.")
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
    "drain_s",
    callback=duration,
    metavar="10m",
    help="After a signal running tasks may go on for so long; default: for ever.",
)
def worker(
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
    drain_s: float | None,
) -> None:
    """Serve ClearML queues as agents do, and keep warm what their tasks need.

    Each task is a fork of a process that has imported what the task's script imports: a trial costs what its
    training costs. Agents may serve the same queues. Without --gpus and --cpu: one task per GPU of this machine, or
    per core if it has none.

    Ctrl-C or SIGTERM: it takes no more tasks and leaves when those that run have ended; a second one ends them, and
    they count as lost, so that a controller runs them again. So does --drain-timeout.

    \b
    Examples:
      clearml-hpo worker --queue quick                              one task per GPU, or per core
      clearml-hpo worker --queue quick --cpu 4 --threads 2          four tasks of two threads
      clearml-hpo worker --queue urgent --queue quick --gpus 0,1 --per-gpu 2
      clearml-hpo worker --queue quick --cpu 8 --idle-timeout 10m   leave after ten minutes without a task
    """
    slots = _slots(gpus, per_gpu, cpu, threads)
    use_lasting_server(local=False)
    # Imported late: ClearML's SDK takes a second, and bad input should be said before.
    from clearml_hpo.executors.slots import SharedMemory
    from clearml_hpo.executors.workers import LocalWorkers
    from clearml_hpo.tasks import Api
    from clearml_hpo.tasks.names import ensure_queue

    api = Api()
    ids = [ensure_queue(api, name) for name in dict.fromkeys(queues)]
    _stop_on_signals(stops := _Stops())
    workers = LocalWorkers(
        slots,
        ids,
        "worker",
        memory=SharedMemory(min_free_mb) if min_free_mb else None,
        warm=not cold,
        venv=venv,
        closed_reason="lost: its worker was ended",
        on_note=_say,
    )
    click.echo(f"{len(slots)} slot(s) serve {', '.join(dict.fromkeys(queues))} (worker {os.getpid()}); Ctrl-C to leave")
    try:
        _serve(workers, stops, 0.0 if once else idle_timeout, math.inf if drain_s is None else drain_s)
    finally:
        workers.close()


class _Stops:
    """How often this process was asked to end."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = threading.Event()


def _serve(workers: LocalWorkers, stops: _Stops, idle_timeout: float | None, drain_s: float) -> None:
    """Returns when the worker has left; exits if what runs had to be ended."""
    says = True
    ends_at = math.inf
    while stops.count < 2 and time.monotonic() < ends_at and not workers.is_drained:
        stops.asked.wait(_LOOK_S)
        if stops.count or (idle_timeout is not None and workers.is_idle_for(idle_timeout)):
            workers.drain()
        if stops.count:
            ends_at = min(ends_at, time.monotonic() + drain_s)
        if stops.count and says and not workers.is_drained:
            _say("waiting for running tasks; once more ends them")
            says = False
        stops.asked.clear()
    if not workers.is_drained:
        sys.exit(_INTERRUPTED)


def _say(text: str) -> None:
    """The terminal, or whoever reads the pipe, may be gone; what runs goes on."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _stop_on_signals(stops: _Stops) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        stops.count += 1
        stops.asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # such as SIGHUP under nohup
            signal.signal(number, stop)


def _slots(gpus: str | None, per_gpu: int, cpu: int | None, threads: int | None) -> Sequence[Slot]:
    from clearml_hpo.executors.slots import default_slots, plan_slots

    if gpus is None and cpu is None:
        return default_slots()
    named = [gpu.strip() for gpu in (gpus or "").split(",") if gpu.strip()]
    return plan_slots(named, per_gpu, cpu or 0, threads)
