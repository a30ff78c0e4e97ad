"""docs/timings.md is what the code says, and each constant in seconds says what it bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import timings


def test_the_page_is_up_to_date() -> None:
    assert timings.PAGE.read_text(encoding="utf-8") == timings.page(), "run `make docs`"


def test_a_constant_that_says_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "loop.py").write_text('_POLL_S = 2.0\n"""Pause between polls."""\n_LONG_S = 3 * _POLL_S\n')
    monkeypatch.setattr(timings, "PACKAGE", tmp_path)
    assert [timing[:3] for timing in timings.timings()] == [("room", "_POLL_S", "2"), ("room", "_LONG_S", "6")]
    with pytest.raises(ValueError, match=r"room/loop\.py: _LONG_S$"):
        timings.page()
