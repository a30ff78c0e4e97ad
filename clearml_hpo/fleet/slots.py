"""Where an agent takes its tasks from and what it may run them on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine.environ import usable_cores
from clearml_hpo.machine.gpus import detect_gpus


@dataclass(frozen=True)
class AgentSlot:
    """One agent's place: it runs one task at a time.

    Attributes:
        name: unique in its fleet, such as ``gpu0``; the second half of the worker id.
        queue: name of the ClearML queue that it serves.
        gpus: indices or UUIDs of the GPUs that its tasks see; None for CPU only.
    """

    name: str
    queue: str
    gpus: tuple[str, ...] | None = None


def plan_slots(*, queue: str, gpus: Sequence[str] = (), cpu: int = 0) -> tuple[AgentSlot, ...]:
    """One slot per entry of ``gpus``, then ``cpu`` slots without a GPU.

    A GPU that is named twice gets two slots, ``gpu0`` and ``gpu0-1``.

    Raises:
        InputError: there is nothing to plan, or the queue's name is shorter than a ClearML server allows.
    """
    if len(queue.strip()) < 3:
        raise InputError(f"queue {queue!r}: a ClearML queue's name has three characters or more")
    if cpu < 0 or not (gpus or cpu):
        raise InputError("no agents to plan: name GPUs (--gpus 0,1) or a number of CPU agents (--cpu 2)")
    names = _unique(f"gpu{gpu}" for gpu in gpus)
    on_gpu = [AgentSlot(name, queue, (gpu,)) for gpu, name in zip(gpus, names, strict=True)]
    return (*on_gpu, *(AgentSlot(f"cpu{i}", queue) for i in range(cpu)))


def default_slots(queue: str, count: int | None) -> tuple[AgentSlot, ...]:
    """One slot per GPU of this machine, else one per CPU core.

    ``count`` overrides the number: agents are then spread over the GPUs in turn.
    """
    if count is not None and count < 1:
        raise InputError(f"{count} agents cannot run a study: one is the least")
    gpus = detect_gpus()
    if not gpus:
        return plan_slots(queue=queue, cpu=count or usable_cores())
    return plan_slots(queue=queue, gpus=[gpus[i % len(gpus)] for i in range(count or len(gpus))])


def _unique(names: Iterable[str]) -> list[str]:
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        result.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return result
