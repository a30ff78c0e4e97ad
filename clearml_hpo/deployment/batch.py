"""What the jobs of Slurm, PBS and HTCondor have in common: workers with so much of a node, for so long."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearml_hpo.core.errors import InputError

_SPARE_S = 30
"""Time of a job that is left when its worker has drained: what it lost is reported then."""


@dataclass(frozen=True)
class Jobs:
    """Workers, one in each job.

    Attributes:
        queue: that they serve.
        gpus: of each job; 0 for trials on the cores.
        per_gpu: trials at once on each GPU.
        cpu: trials at once in a job without GPUs.
        cores: of each job, shared by its trials.
        memory_mib: of each job.
        walltime_s: how long a job may take.
        drain_s: how long trials may go on in a job whose time is nearly over.
        idle_s: after so long without a trial a worker leaves.
        jobs: how many.
        directives: lines of the user's own for the batch system, such as ``--partition=gpu``.
        setup: shell commands before the worker, such as ``module load cuda``.
    """

    queue: str
    gpus: int = 1
    per_gpu: int = 1
    cpu: int = 1
    cores: int = 4
    memory_mib: int = 16384
    walltime_s: int = 14400
    drain_s: int = 90
    idle_s: int = 600
    jobs: int = 4
    directives: Sequence[str] = ()
    setup: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.walltime_s <= self.end_s:
            raise InputError(f"--walltime: {self.walltime_s} s is not longer than the end of a job, {self.end_s} s")
        for option, lines in (("queue", [self.queue]), ("directive", self.directives), ("setup", self.setup)):
            if any(not line.strip() or not line.isprintable() for line in lines):
                raise InputError(f"--{option}: write one line of text")

    @property
    def end_s(self) -> int:
        """How long before the end of its time a job begins to end."""
        return self.drain_s + _SPARE_S

    @property
    def worker(self) -> str:
        """The command of a worker; on which GPUs, the batch system tells it."""
        return shlex.join(["clearml-hpo", "worker", "--queue", self.queue, *self._options()])

    @property
    def dask_worker(self) -> str:
        """The command of a worker of Dask, whose scheduler says in a file where it is."""
        return shlex.join(
            ["clearml-hpo", "dask", "worker", "--scheduler-file", "dask-scheduler.json", *self._options()]
        )

    def values(self, prefix: str = "") -> dict[str, Any]:
        """What templates need; ``prefix`` begins a line for the batch system, if these are in the shell script."""
        own = [f"{prefix} {line}" for line in self.directives] if prefix else []
        minutes, seconds = divmod(self.walltime_s, 60)
        return {
            **vars(self),
            "end_s": self.end_s,
            "until_end_s": self.walltime_s - self.end_s,
            "walltime": f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}",
            "own": "".join(f"{line}\n" for line in (*own, "", *self.setup, *[""] * bool(self.setup))),
        }

    def next_commands(self, folder: Path, submit: str, why: str, show: str) -> dict[str, str]:
        """What a user types then, and why: ``submit`` starts the workers, ``show`` lists them."""
        queue = shlex.quote(self.queue)
        return {
            f"cd {shlex.quote(str(folder))}": "",
            f"clearml-hpo worker --queue {queue} --cpu 1 --once": "makes the queue, if there is none",
            submit: why,
            show: "",
            f"clearml-hpo run study.yaml --set execution.queue={queue}": "",
        }

    def _options(self) -> list[str]:
        slots = self.gpus * self.per_gpu or self.cpu
        share = ["--per-gpu", str(self.per_gpu)] if self.gpus and self.per_gpu > 1 else []
        return [
            *(share if self.gpus else ["--cpu", str(self.cpu)]),
            *("--threads", str(max(1, self.cores // slots))),  # not every batch system confines a job to its cores
            *("--idle-timeout", f"{self.idle_s}s"),
            *("--drain-timeout", f"{self.drain_s}s"),
        ]
