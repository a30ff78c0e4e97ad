"""Recorded answers of ``nvidia-smi``."""

from __future__ import annotations

import pytest

from clearml_hpo.fleet import slots
from clearml_hpo.machine import gpus
from clearml_hpo.machine.environ import usable_cores
from tests.nvidia_smi import EIGHT, FOUR, MIG, MIG_NAMES, NO_DRIVER, NONE, ONE


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        (NONE, ()),
        (NO_DRIVER, ()),
        (ONE, ("0",)),
        (FOUR, ("0", "1", "2", "3")),
        (EIGHT, ("0", "1", "2", "3", "4", "5", "6", "7")),
        (MIG, MIG_NAMES),
    ],
)
def test_listing(listing: str, found: tuple[str, ...]) -> None:
    assert gpus.visible(gpus.parse(listing), None) == found


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ("0,1,2,3", ("0", "1", "2", "3")),
        ("3,1", ("3", "1")),
        ("", ()),
        ("-1", ()),
        ("none", ()),
        ("0,7,1", ("0",)),
        ("1,1", ("1",)),
        ("GPU-b1c1b7a1", ("2",)),
        ("GPU-", ("0",)),
    ],
)
def test_cuda_visible_devices(wanted: str, left: tuple[str, ...]) -> None:
    assert gpus.visible(gpus.parse(FOUR), wanted) == left


@pytest.mark.parametrize("listing", [NONE, ONE, FOUR])
def test_default_slots(listing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_nvidia_smi", lambda *_: listing)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    number = len(gpus.parse(listing))
    default = slots.default_slots("trials", None)
    if number:
        assert [slot.gpus for slot in default] == [(str(i),) for i in range(number)]
    else:
        assert [slot.gpus for slot in default] == [None] * usable_cores()


def test_agents_are_spread_over_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_nvidia_smi", lambda *_: FOUR)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    spread = slots.default_slots("trials", 3)
    assert [(slot.name, slot.gpus) for slot in spread] == [
        ("gpu2", ("2",)),
        ("gpu3", ("3",)),
        ("gpu2-1", ("2",)),
    ]


@pytest.mark.parametrize(
    ("listing", "free"),
    [
        (NONE, {}),
        (NO_DRIVER, {}),
        (
            "0, GPU-7e3c9f5a, 143225\n1, GPU-5d5ba0d6, 812\n",
            {"0": 143225, "GPU-7e3c9f5a": 143225, "1": 812, "GPU-5d5ba0d6": 812},
        ),
        ("0, GPU-7e3c9f5a, [N/A]\n1, GPU-5d5ba0d6, 40000\n", {"1": 40000, "GPU-5d5ba0d6": 40000}),
    ],
)
def test_free_memory(listing: str, free: dict[str, int]) -> None:
    assert gpus.parse_memory(listing) == free


def test_load() -> None:
    listing = "0, GPU-7e3c9f5a, 35, 1200, 142000, 48\n1, GPU-61a35ea5, [N/A], 0, 142000, 40\nno devices\n"
    first = {"gpu_usage": 35.0, "gpu_memory_used": 1200.0, "gpu_memory_free": 142000.0, "gpu_temperature": 48.0}
    second = {"gpu_usage": 0.0, "gpu_memory_used": 0.0, "gpu_memory_free": 142000.0, "gpu_temperature": 40.0}
    expected = {"0": first, "GPU-7e3c9f5a": first, "1": second, "GPU-61a35ea5": second}
    assert gpus.parse_load(listing) == expected


def test_no_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert gpus.detect_gpus() == ()
    assert gpus.free_memory() == {}
    assert gpus.load() == {}
