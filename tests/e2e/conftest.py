"""A machine of its own for a test: home, state folder, environment; and a look at what is left running in it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import quick_sdk, unconfigured

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "clearml_hpo"]


def running_in(home: Path) -> list[str]:
    """Processes that have this folder as theirs (CLEARML_HPO_HOME)."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("CLEARML_HPO_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
    return found


class Machine:
    """Where nothing is configured yet, but for what ``environ`` says."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.home = folder / "state"
        (folder / "home").mkdir()
        self.environ = {
            **unconfigured(),
            "HOME": str(folder / "home"),
            "CLEARML_HPO_HOME": str(self.home),
            "COLUMNS": "100",
            **environ,
        }

    def start(self, *arguments: str, command=COMMAND, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, timeout: float = 240, **options) -> tuple[int, str]:
        process = self.start(*arguments, **options)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"no end of {arguments}: {process.communicate()[0]}") from None
        return process.returncode, output

    def left_running(self) -> list[str]:
        """Processes that belong to this machine."""
        return running_in(self.home)

    def wait_until_nothing_runs(self, seconds: float = 60.0) -> None:
        """What a killed program has left is ended by its watchdogs."""
        deadline = time.monotonic() + seconds
        while self.left_running() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert self.left_running() == []


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    yield machine
    left = machine.left_running()
    if left:  # a test failed half-way; nothing may go on running all the same
        machine.run("agents", "down", "--now")
        machine.run("server", "stop")
    assert left == []


@pytest.fixture(scope="module")
def sdk_environ(tmp_path_factory):
    """For scripts that a person starts by hand."""
    return quick_sdk(tmp_path_factory.mktemp("sdk"))
