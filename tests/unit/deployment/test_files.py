"""What is written, and over what not."""

from __future__ import annotations

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.deployment import files

TEXTS = {"base/worker.yaml": "kind: Job\n", "worker.sh": "#!/bin/sh\n"}


def test_files_are_written_once(tmp_path):
    assert set(files.write(TEXTS, tmp_path / "out").values()) == {"new"}
    assert (tmp_path / "out/base/worker.yaml").read_text() == "kind: Job\n"
    assert set(files.write(TEXTS, tmp_path / "out").values()) == {"unchanged"}


def test_a_shell_script_can_be_run(tmp_path):
    files.write(TEXTS, tmp_path)
    assert (tmp_path / "worker.sh").stat().st_mode & 0o100
    assert not (tmp_path / "base/worker.yaml").stat().st_mode & 0o100


def test_a_file_that_differs_is_kept_unless_forced(tmp_path):
    (tmp_path / "worker.sh").write_text("mine\n")
    with pytest.raises(InputError, match=r"worker\.sh differs .*--force"):
        files.write(TEXTS, tmp_path)
    assert not (tmp_path / "base").exists()
    assert files.write(TEXTS, tmp_path, force=True) == {"base/worker.yaml": "new", "worker.sh": "changed"}
    assert (tmp_path / "worker.sh").read_text() == "#!/bin/sh\n"


def test_what_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "base").write_text("a file\n")
    with pytest.raises(InputError, match="cannot be written"):
        files.write(TEXTS, tmp_path)
