"""What commands print to: characters that an encoding lacks, readers that have left, disks that are full."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clearml_hpo.cli.output import Output

COMMAND = [sys.executable, "-m", "clearml_hpo"]


def test_a_character_that_the_encoding_lacks_is_an_escape(tmp_path):
    with Output((tmp_path / "out").open("wb"), encoding="ascii", errors="backslashreplace") as output:
        output.write("läuft → 1\n")
    assert (tmp_path / "out").read_text() == "l\\xe4uft \\u2192 1\n"


def test_a_reader_who_has_left_is_no_error():
    reads, writes = os.pipe()
    os.close(reads)
    with Output(os.fdopen(writes, "wb", buffering=0), encoding="utf-8", write_through=True) as output:
        assert output.write("said to nobody\n") == 15
        output.flush()


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
