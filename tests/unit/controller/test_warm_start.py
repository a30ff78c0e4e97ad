"""Which tasks a study may know from the start."""

from __future__ import annotations

import pytest

from clearml_hpo.controller.warm_start import known_before
from clearml_hpo.study_file import parse_study

STUDY = """
study: later
project: tests
template: {task: t}
search_space:
  General/x: {type: float, low: 0.0, high: 1.0}
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 10}
execution: {queue: queue}
warm_start: {tasks: [first, second]}
"""


def task(name, status="completed", value=0.25, **properties):
    entries = {key: {"section": "properties", "name": key, "value": text} for key, text in properties.items()}
    x = {"section": "General", "name": "x", "value": "0.5", "type": "float"}
    return {
        "id": name,
        "status": status,
        "hyperparams": {"General": {"x": x}, "properties": entries},
        "last_metrics": {"m": {"v": {"metric": "validation", "variant": "loss", "value": value, "min_value": value}}},
    }


class Server:
    """Answers with two tasks, of which the second is given."""

    def __init__(self, second):
        self._tasks = [task("first"), {**second, "id": "second"}]

    def call(self, endpoint, **given):
        return {"tasks": self._tasks if endpoint == "tasks.get_all" else []}


@pytest.mark.parametrize(
    "second",
    [
        task("", "failed"),
        task("", "stopped"),
        task("", "in_progress"),
        task("", state="paused", trial="3", attempt="1", length="20"),
        task("", "stopped", state="pruned", trial="3", attempt="1"),
    ],
    ids=["failed", "stopped", "running", "paused", "pruned"],
)
def test_a_task_that_did_not_complete_is_not_known(second):
    notes = []
    (known,) = known_before(parse_study(STUDY, "study.yaml"), Server(second), notes.append)
    assert known.values == (0.25,)
    assert notes == [
        "warm start: 1 of 2 tasks are known; the others have not completed, have no finite value, or are no points of "
        "this space"
    ]


def test_of_a_trial_that_has_gone_on_the_value_counts_that_it_ended_with():
    continued = task("", value=0.5, state="completed", trial="3", attempt="2", continues="before", value_="0.125")
    properties = continued["hyperparams"]["properties"]
    properties["value"] = {**properties.pop("value_"), "name": "value"}
    notes = []
    known = known_before(parse_study(STUDY, "study.yaml"), Server(continued), notes.append)
    assert [each.values for each in known] == [(0.25,), (0.125,)]
    assert notes == ["warm start: 2 of 2 tasks are known"]
