"""Which daemons a machine is to have, and the command that each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.fleet.slots import plan_slots

SERVICES_QUEUE = "services"


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Attributes:
        gpus: one daemon each.
        queue: that they serve.
        per_gpu: tasks that share a GPU.
        cpu: tasks without a GPU at once; 0 for no such daemon.
        cpu_queue: that these come from.
        services: controllers at once; 0 for no such daemon.
        warm: whether trials are run by ``clearml-hpo worker`` instead of by agents.
        venv: as for ``agents up`` and ``worker``; None for their default.
        drain_s: how long a daemon that is to end may go on with its task.
    """

    gpus: tuple[str, ...] = ()
    queue: str = "gpu"
    per_gpu: int = 1
    cpu: int = 0
    cpu_queue: str = "cpu"
    services: int = 0
    warm: bool = False
    venv: bool | None = None
    drain_s: float = 600.0

    def __post_init__(self) -> None:
        if not (self.gpus or self.cpu or self.services):
            raise InputError(
                "nothing to install: nvidia-smi lists no GPU here; name GPUs (--gpus 0,1), a number of CPU tasks "
                "(--cpu 4), or --services"
            )
        for queue in (self.queue, self.cpu_queue):
            plan_slots(queue=queue, cpu=1)  # checks its name
            if not queue.isprintable():
                raise InputError(f"queue {queue!r}: a name in a unit or compose file is one line of printable text")

    def on_gpu(self, gpu: str, name: str = "") -> list[str]:
        """Arguments of ``clearml-hpo`` for the daemon of one GPU, as a fleet of that name."""
        if self.warm:
            return self._worker(self.queue, "--gpus", gpu, *(["--per-gpu", str(self.per_gpu)] * (self.per_gpu > 1)))
        return self._agents(self.queue, "--gpus", ",".join([gpu] * self.per_gpu), name=name)

    def on_cpu(self, name: str = "") -> list[str]:
        """Arguments of ``clearml-hpo`` for the daemon of the cores."""
        if self.warm:
            return self._worker(self.cpu_queue, "--cpu", str(self.cpu))
        return self._agents(self.cpu_queue, "--cpu", str(self.cpu), name=name)

    def for_services(self, name: str = "") -> list[str]:
        """Arguments of ``clearml-hpo`` for the daemon that runs controllers, which is one of agents in any case."""
        return self._agents(SERVICES_QUEUE, "--cpu", str(self.services), name=name)

    def _agents(self, queue: str, *where: str, name: str) -> list[str]:
        named = ["--name", name] if name else []
        return ["agents", "run", "--queue", queue, *where, *named, *self._common]

    def _worker(self, queue: str, *where: str) -> list[str]:
        return ["worker", "--queue", queue, *where, *self._common]

    @property
    def _common(self) -> list[str]:
        venv = [] if self.venv is None else ["--venv" if self.venv else "--no-venv"]
        return [*venv, "--drain-timeout", f"{self.drain_s:g}s"]


def choose_gpus(wanted: str | None, present: Sequence[str]) -> tuple[str, ...]:
    """The GPUs that ``--gpus`` names; None and ``all`` are those of the machine, ``none`` is none of them.

    On a machine of which nvidia-smi lists no GPU, what is named is taken as it is: the files may be for another one.

    Raises:
        InputError: the machine has GPUs, and not this one, or one is named twice.
    """
    if wanted is None:
        return tuple(present)
    if wanted == "none":
        return ()
    if wanted == "all":
        if not present:
            raise InputError("--gpus all: nvidia-smi lists no GPU here; name them (--gpus 0,1), or --cpu N")
        return tuple(present)
    named = tuple(gpu.strip() for gpu in wanted.split(",") if gpu.strip())
    for gpu in named:
        if named.count(gpu) > 1:
            raise InputError(f"--gpus: {gpu} is named twice; to share a GPU give --per-gpu")
        _check_gpu(gpu, present)
    return named


def _check_gpu(gpu: str, present: Sequence[str]) -> None:
    if not gpu.replace("-", "").isalnum():
        raise InputError(f"--gpus: {gpu!r} is neither an index nor a UUID as nvidia-smi -L lists them")
    if present and gpu not in present and not gpu.startswith("GPU-"):
        raise InputError(f"--gpus: no GPU {gpu!r} here{nearest(gpu, present)} (nvidia-smi lists {', '.join(present)})")
