"""Consoles and long curves of tasks, read back whole."""

from __future__ import annotations

import math
import uuid

import pytest

from clearml_hpo.backend.names import ensure_project
from clearml_hpo.backend.outputs import console_log
from clearml_hpo.backend.scalars import curves_of
from clearml_hpo.core.goal import Objective

AT = 1_700_000_000_000


@pytest.fixture
def task_id(api):
    project = ensure_project(api, f"tests/{uuid.uuid4().hex[:8]}")
    made = api.call("tasks.create", name="a trial", type="training", project=project)["id"]
    api.call("tasks.started", task=made)
    return made


def log(api, task_id, times):
    line = {"type": "log", "task": task_id, "level": "info", "worker": "w"}
    api.send_events([{**line, "timestamp": AT + at, "msg": f"line {n}\n"} for n, at in enumerate(times)])


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    "times",
    [
        pytest.param([*range(7)], id="a millisecond each"),
        pytest.param([0, 1, 1, 1, 1, 2, 3, 3], id="several in one"),
        pytest.param([5] * 6, id="all in one"),
    ],
)
def test_each_line_of_a_console_is_read_once_whatever_the_batches(api, task_id, times, batch):
    log(api, task_id, times)
    lines = [*console_log(api, task_id, batch)]
    assert sorted(lines) == [f"line {n}" for n in range(len(times))]
    if len(set(times)) == len(times):
        assert lines == sorted(lines)
    assert not api.calls["events.get_task_events"], "it fails on ClearML's server for every task with a log"


def test_a_task_without_a_console_has_no_lines(api, task_id):
    assert [*console_log(api, task_id)] == []


@pytest.mark.parametrize(("length", "every"), [(6_500, 1), (40, 1_000)])
def test_the_pruner_sees_real_steps_of_a_long_training(api, task_id, length, every):
    curve = [(step * every, round(math.sin(step), 3)) for step in range(length)]
    scalar = {"type": "training_stats_scalar", "task": task_id, "metric": "validation", "variant": "loss"}
    api.send_events([{**scalar, "iter": step, "value": value, "timestamp": AT + step} for step, value in curve])
    found = curves_of(api, Objective("validation", "loss"), [task_id])[task_id]
    assert [step for step, _ in found] == [step for step, _ in curve]
    assert [value for _, value in found] == pytest.approx([value for _, value in curve])
