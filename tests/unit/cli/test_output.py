"""What commands print to: characters that an encoding lacks, readers that have left, disks that are full."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clearml_hpo.cli.output import Output
from clearml_hpo.fleet.state import FleetFolder

COMMAND = [sys.executable, "-m", "clearml_hpo"]


def test_a_character_that_the_encoding_lacks_is_an_escape(tmp_path):
    with Output((tmp_path / "out").open("wb"), encoding="ascii", errors="backslashreplace") as output:
        output.write("läuft → 1\n")
    assert (tmp_path / "out").read_text() == "l\\xe4uft \\u2192 1\n"


def test_a_reader_who_has_left_is_no_error():
    reads, writes = os.pipe()
    os.close(reads)
    with Output(os.fdopen(writes, "wb", buffering=0), encoding="utf-8", write_through=True) as output:
        assert not output.is_gone
        assert output.write("said to nobody\n") == 15
        output.flush()
        assert output.is_gone


def test_a_full_disk_is_an_error():
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as raised:
        Output(full, write_through=True).write("lost\n")
    assert raised.value.errno == errno.ENOSPC


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


def test_following_a_log_ends_when_nobody_reads(tmp_path):
    folder = FleetFolder(tmp_path, "default")
    folder.make()
    folder.supervisor_log.write_text("first\n")
    command = [*COMMAND, "agents", "logs", "--follow"]
    environ = {**os.environ, "CLEARML_HPO_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "first\n"
        process.stdout.close()
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            with folder.supervisor_log.open("a") as log:
                log.write("another\n")
            time.sleep(0.1)
        process.kill()
        assert process.wait() == 0 and process.stderr.read() == ""
