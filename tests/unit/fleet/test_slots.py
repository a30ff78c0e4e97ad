from __future__ import annotations

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.fleet import AgentSlot, default_slots, plan_slots


def test_one_slot_per_gpu_then_the_cpu_ones() -> None:
    assert plan_slots(queue="gpu", gpus=["0", "1"], cpu=2) == (
        AgentSlot("gpu0", "gpu", ("0",)),
        AgentSlot("gpu1", "gpu", ("1",)),
        AgentSlot("cpu0", "gpu", None),
        AgentSlot("cpu1", "gpu", None),
    )


def test_a_gpu_twice_has_two_names() -> None:
    assert [slot.name for slot in plan_slots(queue="gpu", gpus=["0", "0", "0"])] == [
        "gpu0",
        "gpu0-1",
        "gpu0-2",
    ]


@pytest.mark.parametrize("wrong", [{"queue": "gpu"}, {"queue": "gpu", "cpu": -1}, {"queue": "g", "cpu": 1}])
def test_nothing_to_plan(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        plan_slots(**wrong)  # type: ignore[arg-type]


def test_no_agents_are_too_few() -> None:
    with pytest.raises(InputError):
        default_slots("gpu", 0)
