"""The look at the product's calls finds what ClearML's server would not have."""

from __future__ import annotations

import json

import pytest

from tests import calls
from tests.calls import Call

OK = (200, 0)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (Call("tasks.stopped_many", ("ids",), False, (), OK), "no such endpoint"),
        (Call("tasks.invented", ("task",), False, (), OK), "no such endpoint"),
        (Call("tasks.started", ("statuss_reason", "task"), False, ("queued",), OK), "ignores statuss_reason"),
        (Call("tasks.failed", ("task",), False, ("created",), OK), "answers 110"),
        (Call("tasks.edit_configuration", ("task", "force"), True, ("completed",), OK), "answers 110"),
        (Call("tasks.get_all", ("id",), False, (), (400, 12), "No id"), "refused: 400/12 (No id)"),
    ],
)
def test_a_fault_is_found(call: Call, fault: str) -> None:
    [found] = calls.faults([call])
    assert fault in found


@pytest.mark.parametrize(
    "call",
    [
        Call("tasks.failed", ("force", "task"), True, ("created",), OK),
        Call("tasks.get_all", ("hyperparams.properties.study.value", "id", "only_fields"), False, (), OK),
        Call("tasks.edit_hyper_params", ("hyperparams", "task"), False, ("completed",), OK),
        Call("events.add_batch", ("type", "task", "plot_str"), False, (), OK),
    ],
)
def test_what_is_allowed_is_no_fault(call: Call) -> None:
    assert list(calls.faults([call])) == []


def test_calls_of_others_and_lines_that_were_cut_are_left_out(tmp_path) -> None:
    line = {"endpoint": "tasks.ping", "fields": ["task"], "force": False, "statuses": ["created"], "answer": [200, 0]}
    own, other = (json.dumps({**line, "agent": agent}) for agent in ("clearml-hpo", "python-requests/2"))
    (tmp_path / "1.jsonl").write_text(f"{own}\n{other}\n{own[:20]}")
    assert list(calls.recorded(tmp_path).values()) == [1]
