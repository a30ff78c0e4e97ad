"""``--gpus``, ``--per-gpu``, ``--cpu`` and ``--threads`` of commands that run tasks on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import settings

if TYPE_CHECKING:
    from clearml_hpo.workers.slots import Slot

_Command = TypeVar("_Command", bound=Callable[..., Any])


def slot_options(command: _Command) -> _Command:
    """Adds the options; the command gets ``gpus``, ``per_gpu``, ``cpu`` and ``threads``, for ``slots_here``."""
    at_least_one = click.IntRange(min=1)
    for option in (
        click.option("--threads", type=at_least_one, metavar="N", help="Threads of each of them."),
        click.option("--cpu", type=at_least_one, metavar="N", help="Run N at once on the cores."),
        click.option("--per-gpu", type=at_least_one, default=1, metavar="N", help="How many share a GPU."),
        click.option("--gpus", metavar="0,1", help="Run them on these GPUs, each seeing its own."),
    ):
        command = option(command)
    return command


def slots_here(
    gpus: str | None, per_gpu: int, cpu: int | None, threads: int | None, *, is_pilot: bool
) -> Sequence[Slot]:
    """The slots that options ask for; without any, a GPU or a core each; a pilot has what its agent has."""
    from clearml_hpo.machine.environ import usable_cores
    from clearml_hpo.machine.gpus import NO_GPU, detect_gpus
    from clearml_hpo.workers.slots import plan_slots

    if gpus is not None or cpu is not None:
        named = [gpu.strip() for gpu in (gpus or "").split(",") if gpu.strip()]
        return plan_slots(named, per_gpu, cpu or 0, threads)
    found = detect_gpus()
    if found:
        return plan_slots(found, per_gpu, threads=threads, present=found)
    if (wanted := os.environ.get("CUDA_VISIBLE_DEVICES", "")) not in NO_GPU:
        raise InputError(
            f"CUDA_VISIBLE_DEVICES is {wanted!r}, and nvidia-smi shows no such GPU; to serve without: --cpu N"
        )
    if not is_pilot:
        return plan_slots(cpu=usable_cores(), threads=threads)
    # An agent is one slot; its share of the cores, if it has one, is a limit on threads.
    limit = settings.child_environ().get("OMP_NUM_THREADS", "")
    share = int(limit) if limit.isdecimal() else 0
    return plan_slots(cpu=1, threads=threads or share or None)
