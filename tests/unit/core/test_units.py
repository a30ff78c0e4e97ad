"""Durations and sizes."""

from __future__ import annotations

import pytest

from clearml_hpo.core.units import counted, to_bytes, to_seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("0.5m", 30)]
)
def test_durations(text, expected):
    assert to_seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000", 1000), ("500K", 512_000), ("20m", 20 * 2**20), ("1.5GiB", 3 * 2**29), ("2 TB", 2**41)],
)
def test_sizes(text, expected):
    assert to_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1m", "1 minute", "1x", "nan", "\u0661m"])
def test_what_is_neither_is_said(text):
    for read in (to_seconds, to_bytes):
        with pytest.raises(ValueError, match="write"):
            read(f"{text}?")


def test_one_is_counted_in_the_singular():
    assert [counted(number, "metric") for number in (0, 1, 2)] == ["0 metrics", "1 metric", "2 metrics"]
