"""How commands end whose reader has left, or that are signalled; and what an ASCII console shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from clearml_hpo.fleet.state import FleetFolder

COMMAND = [sys.executable, "-m", "clearml_hpo"]


@pytest.mark.parametrize("command", [["--help"], ["check", "none.yaml"]])
def test_a_command_whose_reader_has_left_ends_without_a_traceback(command):
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run([*COMMAND, *command], stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_names_that_an_ascii_console_lacks(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("größe: 1\n", encoding="utf-8")
    ascii_console = {**os.environ, "LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([*COMMAND, "check", str(study)], env=ascii_console, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown key" in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.fixture
def following(tmp_path):
    """A command that follows a log, and the log; it ends in no other way than by what a test does."""
    folder = FleetFolder(tmp_path, "default")
    folder.make()
    folder.supervisor_log.write_text("first\n")
    options = {
        "env": {**os.environ, "CLEARML_HPO_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        "preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
        **dict.fromkeys(("stdout", "stderr"), subprocess.PIPE),
    }
    with subprocess.Popen([*COMMAND, "agents", "logs", "--follow"], text=True, **options) as process:
        assert process.stdout.readline() == "first\n"
        yield process, folder.supervisor_log
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_any_command_as_ctrl_c_does(following, number):
    process, _ = following
    process.send_signal(number)
    assert process.wait(60) == 130
    assert process.stderr.read().strip() == "interrupted"


def test_following_a_log_ends_when_nobody_reads(following):
    process, supervisor_log = following
    process.stdout.close()
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with supervisor_log.open("a") as log:
            log.write("another\n")
        time.sleep(0.1)
    process.kill()
    assert process.wait() == 0 and process.stderr.read() == ""
