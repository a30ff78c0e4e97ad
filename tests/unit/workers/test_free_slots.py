"""Which slots of a machine are filled next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from clearml_hpo.workers.runner import Runner
from clearml_hpo.workers.slots import GpuMemory, Slot, plan_slots


@pytest.fixture
def runners() -> Iterator[list[Runner]]:
    made: list[Runner] = []
    yield made
    for runner in made:
        runner.close("the test ends")


def runner_of(runners: list[Runner], slots: Sequence[Slot], memory: GpuMemory | None = None) -> Runner:
    runners.append(Runner(slots, memory=memory, warm=False, venv=False, image="", on_note=lambda text: None))
    return runners[-1]


def fill(runner: Runner, *slots: Slot) -> None:
    for slot in slots:
        run: Any = SimpleNamespace(slot=slot, process=SimpleNamespace(kill=lambda: None), reason="", task_id=slot.name)
        runner.runs[slot.name] = run


def gpus(slots: Sequence[Slot]) -> list[str | None]:
    return [slot.gpu for slot in slots]


def test_each_gpu_comes_before_any_is_shared(runners: list[Runner]) -> None:
    slots = plan_slots(["0", "1"], per_gpu=2, present=["0", "1"])
    runner = runner_of(runners, sorted(slots, key=lambda slot: slot.gpu or ""))
    assert gpus(runner.free_slots()) == ["0", "1", "0", "1"]
    fill(runner, runner.free_slots()[0])
    assert gpus(runner.free_slots()) == ["1", "0", "1"]
    fill(runner, *runner.free_slots())
    assert runner.free_slots() == []


def test_slots_without_a_gpu_keep_their_order(runners: list[Runner]) -> None:
    slots = plan_slots(cpu=3, threads=1)
    runner = runner_of(runners, slots)
    assert [*runner.free_slots()] == [*slots]


def test_where_memory_decides_one_is_filled_at_a_time(runners: list[Runner]) -> None:
    slots = plan_slots(["0", "1"], per_gpu=2, present=["0", "1"])
    runner = runner_of(runners, slots, GpuMemory(1000, free=lambda: {"0": 500, "1": 3000}))
    fill(runner, *[slot for slot in slots if slot.gpu == "0"][:1])
    assert gpus(runner.free_slots()) == ["1"]
