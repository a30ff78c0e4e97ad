from __future__ import annotations

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import gpus
from clearml_hpo.machine.environ import THREADS, usable_cores
from clearml_hpo.testing import ManualClock
from clearml_hpo.workers.slots import GpuMemory, Slot, default_slots, plan_slots


def test_each_gpu_comes_before_any_is_shared() -> None:
    assert plan_slots(["0", "1"], per_gpu=2, present=["0", "1"]) == (
        Slot("gpu0", "0"),
        Slot("gpu1", "1"),
        Slot("gpu0-1", "0"),
        Slot("gpu1-1", "1"),
    )


def test_the_cores_are_shared_out_unless_threads_are_given() -> None:
    share = max(1, usable_cores() // 2)
    assert plan_slots(cpu=2) == (Slot("cpu0", None, share), Slot("cpu1", None, share))
    assert [slot.threads for slot in plan_slots(["0"], cpu=1, threads=3, present=["0"])] == [3, 3]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "no slots to plan"),
        ({"cpu": -1}, "cpu: -1 is too few, 0 is the least"),
        ({"cpu": 1, "threads": 0}, "threads: 0 is too few, 1 is the least"),
        ({"gpus": ["0"], "per_gpu": 0}, "per_gpu: 0 is too few"),
        ({"gpus": ["0", "0"]}, "gpus: 0 is named twice; to share a GPU give per_gpu"),
        ({"gpus": ["2"]}, r"gpus: no GPU '2' on this machine.* \(it has: 0, 1\)"),
        ({"gpus": ["0"], "present": []}, r"gpus: no GPU '0' on this machine \(nvidia-smi lists none\)"),
    ],
)
def test_bad_plans(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan_slots(**{"present": ["0", "1"], **wrong})  # type: ignore[arg-type]


def test_a_gpu_may_be_named_by_its_uuid() -> None:
    assert plan_slots(["GPU-5d5b"], present=["0"])[0].gpu == "GPU-5d5b"


@pytest.mark.parametrize(
    ("listed", "count", "found"),
    [
        ("", 3, [None, None, None]),
        ("", None, [None] * usable_cores()),
        ("GPU 0: A (UUID: GPU-a)\nGPU 1: A (UUID: GPU-b)\n", None, ["0", "1"]),
        ("GPU 0: A (UUID: GPU-a)\nGPU 1: A (UUID: GPU-b)\n", 3, ["0", "1", "0"]),
        ("GPU 0: A (UUID: GPU-a)\nGPU 1: A (UUID: GPU-b)\n", 1, ["0"]),
    ],
)
def test_default_slots(
    listed: str, count: int | None, found: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "_nvidia_smi", lambda *_: listed)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [slot.gpu for slot in default_slots(count)] == found


def test_no_slots_are_too_few() -> None:
    with pytest.raises(InputError, match="slots: 0 cannot run a study"):
        default_slots(0)


def test_what_a_process_sees_of_its_slot() -> None:
    on_cores, on_gpu = Slot("cpu0", None, 2).environ(), Slot("gpu1", "1").environ()
    assert on_cores["CUDA_VISIBLE_DEVICES"] == ""
    assert {on_cores[name] for name in THREADS} == {"2"}
    assert (on_gpu["CUDA_VISIBLE_DEVICES"], on_gpu["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
    assert not set(THREADS) & set(on_gpu)


class TestGpuMemory:
    def _memory(self, free: dict[str, int], clock: ManualClock | None = None) -> GpuMemory:
        return GpuMemory(10_000, lambda: free, clock or ManualClock())

    def test_the_first_task_is_always_allowed(self) -> None:
        assert self._memory({"0": 1}).allows("0", 0)
        assert self._memory({}).allows("0", 0)

    @pytest.mark.parametrize(("at_rest", "allowed"), [(19_999, False), (20_000, True)])
    def test_one_that_has_just_begun_is_counted_though_it_has_taken_nothing(self, at_rest: int, allowed: bool) -> None:
        memory = self._memory({"0": at_rest})
        memory.note("0", 0)
        assert memory.allows("0", 1) is allowed

    def test_one_that_takes_more_than_was_said_is_seen(self) -> None:
        free, clock = {"0": 80_000}, ManualClock()
        memory = self._memory(free, clock)
        memory.note("0", 0)
        free["0"] = 9_000
        clock.advance(2)
        assert not memory.allows("0", 1)

    def test_the_gpu_is_asked_every_few_seconds_while_a_task_waits(self) -> None:
        asked: list[int] = []
        clock = ManualClock()

        def free() -> dict[str, int]:
            asked.append(1)
            return {"0": 5_000}

        memory = GpuMemory(10_000, free, clock)
        memory.note("0", 0)
        for _ in range(39):
            memory.allows("0", 0)
            memory.allows("0", 1)
            clock.advance(0.1)
        assert len(asked) == 2

    def test_gpus_are_counted_apart(self) -> None:
        memory = self._memory({"0": 15_000, "1": 25_000})
        for gpu in ("0", "1"):
            memory.note(gpu, 0)
        assert (memory.allows("0", 1), memory.allows("1", 1), memory.allows("1", 2)) == (False, True, False)
