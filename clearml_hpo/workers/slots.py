"""Slots: what each process of a task has for itself, a GPU or a share of one, or a share of the cores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.machine.environ import thread_limits, usable_cores
from clearml_hpo.machine.gpus import detect_gpus, free_memory
from clearml_hpo.workers.timed_call import TimedCall

_LOOK_S = 2.0
"""How often nvidia-smi is asked for free memory while a task waits for some."""
_TIMEOUT_S = 1.0
"""How long nvidia-smi is waited for; then its latest answer counts."""
_MAX_AGE_S = 10.0
"""How long an answer counts; after it the GPU counts as full."""


@dataclass(frozen=True)
class Slot:
    """Runs one task at a time.

    Attributes:
        name: unique among the slots of an executor, such as ``gpu0-1``.
        gpu: index or UUID of the one GPU that its tasks see; None for CPU only.
        threads: how many threads numerical libraries may start in its tasks; None leaves that to them.
    """

    name: str
    gpu: str | None = None
    threads: int | None = None

    def environ(self) -> dict[str, str]:
        """The variables that confine a process to the slot."""
        limits = thread_limits(self.threads) if self.threads else {}
        if self.gpu is None:
            return {**limits, "CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "none"}
        return {
            **limits,
            "CUDA_VISIBLE_DEVICES": self.gpu,
            "NVIDIA_VISIBLE_DEVICES": self.gpu,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # CUDA's own order is by speed, nvidia-smi's indices are by bus
        }


def plan_slots(
    gpus: Sequence[str] = (),
    per_gpu: int = 1,
    cpu: int = 0,
    threads: int | None = None,
    *,
    present: Collection[str] | None = None,
) -> tuple[Slot, ...]:
    """``per_gpu`` slots on each of ``gpus``, then ``cpu`` slots without a GPU.

    Args:
        gpus: indices or UUIDs, as ``nvidia-smi -L`` lists them.
        per_gpu: how many tasks share a GPU.
        cpu: how many tasks run on the cores alone.
        threads: for each task; None shares the cores out among the ``cpu`` slots, and sets no limit on GPU slots.
        present: the GPUs of this machine; None looks.

    Raises:
        InputError: there is nothing to plan, a number is out of range, or this machine has no such GPU.
    """
    _check_numbers(per_gpu=(per_gpu, 1), cpu=(cpu, 0), threads=(1 if threads is None else threads, 1))
    if not gpus and not cpu:
        raise InputError("no slots to plan: name GPUs (gpus: 0,1) or a number of tasks on the cores (cpu: 2)")
    _check_gpus(gpus, present)
    on_gpu = [Slot(f"gpu{gpu}" if i == 0 else f"gpu{gpu}-{i}", gpu, threads) for i in range(per_gpu) for gpu in gpus]
    share = threads or max(1, usable_cores() // max(1, cpu))
    return (*on_gpu, *(Slot(f"cpu{i}", None, share) for i in range(cpu)))


def default_slots(count: int | None = None) -> tuple[Slot, ...]:
    """One slot per GPU that this process may use, else one per core.

    ``count`` overrides the number; GPUs are then shared in turn.

    Raises:
        InputError: fewer than one slot.
    """
    if count is not None and count < 1:
        raise InputError(f"slots: {count} cannot run a study, 1 is the least")
    gpus = detect_gpus()
    if not gpus:
        return plan_slots(cpu=count or usable_cores())
    per_gpu = -(-(count or len(gpus)) // len(gpus))
    return plan_slots(gpus, per_gpu, present=gpus)[:count]


def _check_numbers(**given: tuple[int, int]) -> None:
    """Refuses a number below its least value; both by the number's name."""
    for name, (found, least) in given.items():
        if found < least:
            raise InputError(f"{name}: {found} is too few, {least} is the least")


def _check_gpus(gpus: Sequence[str], present: Collection[str] | None) -> None:
    if not gpus:
        return
    if repeated := [gpu for gpu in dict.fromkeys(gpus) if list(gpus).count(gpu) > 1]:
        raise InputError(f"gpus: {repeated[0]} is named twice; to share a GPU give per_gpu")
    known = detect_gpus() if present is None else present
    for gpu in gpus:
        if gpu not in known and not _is_uuid(gpu):
            has = f"it has: {', '.join(known)}" if known else "nvidia-smi lists none"
            raise InputError(f"gpus: no GPU {gpu!r} on this machine{nearest(gpu, known)} ({has})")


def _is_uuid(gpu: str) -> bool:
    """Detected GPUs go by their index; a UUID is CUDA's to find."""
    return gpu.startswith(("GPU-", "MIG-"))


class GpuMemory:
    """Decides whether the memory of a GPU suffices for one more task.

    A task takes its memory some time after its start, so memory that is free now may be needed by tasks that have just
    begun. Each running task therefore counts with ``needed_mb``, against what was free when none of ours ran. A GPU
    about which nvidia-smi tells nothing is not shared.
    """

    def __init__(
        self,
        needed_mb: int,
        free: Callable[[], Mapping[str, int]] = free_memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``free`` returns free MiB by GPU; it is called every few seconds at most while a task has to wait."""
        self.needed_mb = needed_mb
        self._free = TimedCall(free, timeout_s=_TIMEOUT_S, max_age_s=_MAX_AGE_S)
        self._clock = clock
        self._seen: Mapping[str, int] = {}
        self._seen_at = -math.inf
        self._at_rest: dict[str, int] = {}

    def note(self, gpu: str, running: int) -> None:
        """Notes that a task is about to start on ``gpu``, beside ``running`` others."""
        if not running:
            self._look()
            self._at_rest[gpu] = self._seen.get(gpu, 0)

    def allows(self, gpu: str, running: int) -> bool:
        """True if a task may join the ``running`` ones on ``gpu``; the first one always may."""
        if not running:
            return True
        if self._clock() - self._seen_at >= _LOOK_S:
            self._look()
        now = self._seen.get(gpu, 0)
        reserved = self._at_rest.get(gpu, now) - running * self.needed_mb
        return min(now, reserved) >= self.needed_mb

    def _look(self) -> None:
        self._seen, self._seen_at = self._free.answer() or {}, self._clock()
