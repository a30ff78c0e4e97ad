"""Recorded answers of ``nvidia-smi``."""

from __future__ import annotations

import pytest

from clearml_hpo import gpus
from clearml_hpo.environ import usable_cores
from clearml_hpo.fleet import slots

NONE = ""
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
ONE = "GPU 0: NVIDIA H200 (UUID: GPU-7e3c9f5a-0a52-7a16-3f0e-5b1c7f3b8a11)\n"
FOUR = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-61a35ea5-2f0b-3a33-8a5e-1f0f1a9d1c5b)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-b1c1b7a1-6f14-1a48-77aa-8b36bb6b1a2d)
GPU 3: NVIDIA A100-SXM4-40GB (UUID: GPU-eb88a0b5-93a4-4a39-9a31-4ff7a3a9c0ef)
"""
MIG = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-b3b2b1a0-3c39-5d3f-8cbb-4e51a5f5c0aa)
  MIG 3g.20gb     Device  1: (UUID: MIG-0f6d4ee1-6a0b-5f5e-9f52-9b4b7a3c2d01)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-61a35ea5-2f0b-3a33-8a5e-1f0f1a9d1c5b)
"""


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        (NONE, ()),
        (NO_DRIVER, ()),
        (ONE, ("0",)),
        (FOUR, ("0", "1", "2", "3")),
        (MIG, ("MIG-b3b2b1a0-3c39-5d3f-8cbb-4e51a5f5c0aa", "MIG-0f6d4ee1-6a0b-5f5e-9f52-9b4b7a3c2d01", "1")),
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
