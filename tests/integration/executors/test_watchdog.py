from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from clearml_hpo.machine.watchdog import Watchdog
from clearml_hpo.testing.executor_contract import eventually
from tests.children import children_running

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEPS, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def _watchdog_pid(watchdog):
    module = "clearml_hpo.machine.watchdog"
    eventually(lambda: children_running(module), "it is seen: what starts may have no command line yet")
    (found,) = children_running(module)
    return found.pid


def test_closed_it_ends_what_is_watched_and_removes_the_folder(tmp_path, sleeper):
    folder = tmp_path / "folder"
    folder.mkdir()
    watchdog = Watchdog(folder)
    watchdog.watch(sleeper.pid)
    watchdog.close()
    assert sleeper.wait(timeout=60) == -signal.SIGTERM
    assert not folder.exists()


def test_what_is_forgotten_lives(tmp_path, sleeper):
    watchdog = Watchdog(tmp_path / "folder")
    watchdog.watch(sleeper.pid)
    watchdog.forget(sleeper.pid)
    watchdog.close()
    assert sleeper.poll() is None


def test_killed_it_is_started_again_and_watches_the_same(tmp_path, sleeper):
    watchdog = Watchdog(tmp_path / "folder")
    watchdog.watch(sleeper.pid)
    first = _watchdog_pid(watchdog)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE, "it is dead")
    with subprocess.Popen(SLEEPS, start_new_session=True) as other:
        watchdog.watch(other.pid)
        assert _watchdog_pid(watchdog) != first
        watchdog.close()
        assert other.wait(timeout=60) == sleeper.wait(timeout=60) == -signal.SIGTERM
