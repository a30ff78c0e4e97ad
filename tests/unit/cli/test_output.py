"""What commands print to: characters that an encoding lacks, readers that have left, disks that are full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from clearml_hpo.cli.output import Output


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
