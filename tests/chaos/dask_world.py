"""The world with Dask: a scheduler, two ``clearml-hpo dask worker`` with real trainings, and a controller."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from .world import Blow, Ended, Life, Storm, World

_SLOTS = 2
_COMMANDS = 2
_ENDS_WITHIN_S = 60.0
TRAIN = """\
import time
from pathlib import Path

from clearml import Task

task = Task.init(project_name="chaos", task_name="train")
given = task.connect({{"x": 0.9, "depth": 4, "kind": "a"}})
end, hold = (given["x"] - 0.3) ** 2 + 0.01 * given["depth"], Path("{hold}")
for step in range(1, 6):
    while hold.exists():
        time.sleep(0.05)
    task.get_logger().report_scalar("validation", "loss", end + (1.0 / step if step < 5 else 0.0), step)
    time.sleep(0.1)
"""
"""Like ``worker.training``: it does not end while there is a file ``hold``."""


class DaskWorld(World):
    """What dies comes back; a controller that finds a study resumes it."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *, seed: int) -> None:
        """The study file and the script are there."""
        super().__init__(folder, environ, workers=0, seed=seed)
        self.address = free_address()
        self._scheduler: Life | None = None
        self._commands: dict[int, Life] = {}

    def __exit__(self, *given: object) -> None:
        for life in self._commands.values():
            life.process.send_signal(signal.SIGTERM)
        for life in self._commands.values():
            try:
                life.process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                life.kill()  # its workers end by themselves
        if self._scheduler is not None:
            self._scheduler.kill()
        super().__exit__(*given)

    def write(self, study: str) -> None:
        """The study file and its script; ``study`` is a format of the scheduler's address."""
        self.study_file.write_text(study)
        (self.folder / "train.py").write_text(TRAIN.format(hold=self._hold))

    def _words(self) -> Sequence[str]:
        studies = self._client.call("tasks.get_all", type=["optimizer"], only_fields=["id"])["tasks"]
        return ["resume", studies[0]["id"]] if studies else super()._words()

    def _revive(self) -> None:
        if self._scheduler is None or self._scheduler.process.poll() is not None:
            where = ["--host", "127.0.0.1", "--port", self.address.rpartition(":")[2], "--no-dashboard"]
            words = ["-m", "distributed.cli.dask_scheduler", *where]
            self._scheduler = Life(self._start(words, self.folder / "scheduler.log"))
        for index in range(_COMMANDS):
            life = self._commands.get(index)
            if life is None or life.process.poll() is not None:
                words = ["-m", "clearml_hpo", "dask", "worker", self.address, "--cpu", str(_SLOTS), "--threads", "1"]
                self._commands[index] = Life(self._start(words, self.folder / f"command-{index}.log"))

    def _strike(self, blow: Blow, storm: Storm, which: int, ended: Ended) -> bool:
        if blow.target not in ("scheduler", "command", "process"):
            return super()._strike(blow, storm, which, ended)
        with suppress(psutil.NoSuchProcess):
            if victims := sorted(self._victims(blow.target)):
                os.kill(random.Random(f"{storm.seed} {which}").choice(victims), signal.SIGKILL)
                return True
        return False  # it is not up again yet, or has no trial yet

    def _victims(self, target: str) -> Iterator[int]:
        """The pids of those that a blow may kill: of workers and their commands those that have trials."""
        assert self._scheduler is not None
        if target == "scheduler":
            yield self._scheduler.process.pid
            return
        for life in self._commands.values():
            for child in psutil.Process(life.process.pid).children():
                if any("spawn_main" in word for word in child.cmdline()) and _has_trials(child):
                    yield life.process.pid if target == "command" else child.pid


def _has_trials(worker: psutil.Process) -> bool:
    return any(parent.children() for parent in worker.children())


def free_address() -> str:
    """Where a scheduler will be, each time that it is started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"
