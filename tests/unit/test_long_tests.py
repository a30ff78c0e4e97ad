"""Long tests are skipped, and so counted, once the time that a run has for them is over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("seconds", "counts"), [("0", "2 skipped"), ("600", "2 passed")])
def test_what_has_not_begun_in_time_is_skipped_with_the_reason(tmp_path: Path, seconds: str, counts: str) -> None:
    file = tmp_path / "test_some.py"
    file.write_text("import pytest\n@pytest.mark.long\n@pytest.mark.parametrize('x', [1, 2])\ndef test_it(x): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.conftest"]
    command += ["--rootdir", str(tmp_path), "-c", os.devnull, "-m", "long", "-rs", str(file)]
    done = subprocess.run(
        command,
        env={**os.environ, "CLEARML_HPO_LONG_TESTS_S": seconds, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert counts in done.stdout, done.stdout + done.stderr
    assert ("the 0 s for long tests are over" in done.stdout) == (seconds == "0")
