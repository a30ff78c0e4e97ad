"""A scheduler and workers as processes of their own, and a study's executor in this one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from clearml_hpo.executors.dask.executor import DaskExecutor
from clearml_hpo.executors.dask.plan import DASK, DaskPlan
from clearml_hpo.testing.executor_contract import Stage, eventually

_END_S = 30


@pytest.fixture
def environ(server_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CLEARML_TASK_ID", raising=False)
    return server_environ


@pytest.fixture
def stage(environ: dict[str, str], tmp_path: Path) -> Stage:
    from clearml_hpo.backend.api import Api

    return Stage(Api(), tmp_path, f"dask-{uuid.uuid4().hex[:8]}", 1)


@dataclass
class Processes:
    """Processes that a test starts; what is left of them ends with it."""

    folder: Path
    environ: Mapping[str, str]
    port: int
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, name: str, *words: str, **more: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{name}-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.folder,
                env={**os.environ, **self.environ, **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        self.logs.append(log)
        return process

    def scheduler(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """``dask scheduler``, on the same port each time."""
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0"]
        process = self.start("scheduler", "distributed.cli.dask_scheduler", *where, *words, **more)
        self.until_said(process, "Scheduler at")
        return process

    def worker(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """``clearml-hpo dask worker``, with one worker if ``words`` do not say otherwise; returns when it serves."""
        process = self.worker_soon(*words, **more)
        self.until_said(process, "; Ctrl-C to leave")
        return process

    def worker_soon(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        slots = [] if "--gpus" in words or "--cpu" in words else ["--cpu", "1"]
        return self.start("worker", "clearml_hpo", "dask", "worker", self.address, *slots, *words, **more)

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return self.logs[self.started.index(process)].read_text()

    def until_said(self, process: subprocess.Popen[bytes], text: str) -> None:
        eventually(lambda: text in self.said(process), f"it says {text!r}", lambda: self.said(process))

    def end(self) -> None:
        for process in self.started:
            with psutil_gone():
                for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                    with psutil_gone():
                        each.kill()
            process.wait(_END_S)


class psutil_gone:
    """Passes over processes that have ended."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, (psutil.Error, ProcessLookupError))


@pytest.fixture
def processes(tmp_path: Path, environ: dict[str, str]) -> Iterator[Processes]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Processes(tmp_path, environ, port)
    yield found
    found.end()


@dataclass
class Study:
    """The executor of a study, and what it has said."""

    executor: DaskExecutor
    notes: list[str]
    stage: Stage

    def submit(self, *names: str, place: str = DASK) -> list[str]:
        """Ids of tasks that run until they are released."""
        tasks = [self.stage.held(name) for name in names]
        for task in tasks:
            self.executor.submit(task, place)
        return tasks

    def until_said(self, text: str) -> None:
        eventually(lambda: any(text in note for note in self.notes), f"it says {text!r}", lambda: "\n".join(self.notes))

    def until_workers(self, count: int, place: str = DASK) -> None:
        eventually(lambda: self.executor.workers()[place] == count, f"{count} workers", self.executor.workers)


@pytest.fixture
def open_study(stage: Stage, processes: Processes) -> Iterator[Callable[..., Study]]:
    """Makes the executor of a study on the scheduler of the test, or on what ``plan`` says."""
    opened: list[Study] = []

    def open_study(**plan: object) -> Study:
        notes: list[str] = []
        where = {} if "cluster" in plan else {"address": processes.address}
        study_id = stage.script("", name="study")
        executor = DaskExecutor(stage.api, DaskPlan(**{**where, **plan}), study_id=study_id, on_note=notes.append)
        opened.append(Study(executor, notes, stage))
        return opened[-1]

    yield open_study
    for study in opened:
        study.executor.close()


def dask_worker_pids(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes of Dask workers below ``clearml-hpo dask worker``."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child.pid for child in children if any("spawn_main" in word for word in child.cmdline())]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def settle(seconds: float) -> None:
    """Gives something that must not happen the time to happen."""
    time.sleep(seconds)
