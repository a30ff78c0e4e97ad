"""What an objective suggests: from the task, or drawn."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from clearml_hpo.functions.trial_runner import Trial


class Task:
    """The part of ClearML's task that a trial calls, which keeps what it was told."""

    id = "1"

    def __init__(self, **given):
        self.given = {f"General/{name}": text for name, text in given.items()}
        entries = {name: SimpleNamespace(description="{}") for name in given}
        self.data = SimpleNamespace(hyperparams={"General": entries})
        self.told = {}

    def get_parameters(self):
        return self.given

    def set_parameter(self, name, value, description, value_type):
        self.told[name] = (value, json.loads(description), value_type)


def test_what_the_task_has_is_taken_and_not_written_again():
    task = Task(x="0.25", n="7", kind="", flag="True")
    trial = Trial(task)
    assert trial.suggest_float("x", 0, 1) == 0.25 and trial.suggest_int("n", 1, 9) == 7
    assert trial.suggest_categorical("kind", ["a", None]) is None
    assert trial.suggest_categorical("flag", [True, False]) is True
    assert trial.params == {"x": 0.25, "n": 7, "kind": None, "flag": True} and task.told == {}


def test_what_is_new_is_drawn_and_written_with_its_range():
    task = Task()
    trial = Trial(task)
    value = trial.suggest_float("x", 0, 1)
    assert 0 <= value <= 1 and trial.suggest_float("x", 0, 1) == value, "one value for a name"
    assert task.told["General/x"] == (value, {"type": "float", "low": 0, "high": 1, "log": False}, float)
    assert trial.suggest_categorical("kind", [None]) is None
    assert task.told["General/kind"][1] == {"type": "categorical", "choices": [None]}


@pytest.mark.parametrize("text", ["7", "nothing", "1.5"])
def test_what_lies_outside_of_a_range_is_drawn_anew(text):
    task = Task(n=text)
    assert Trial(task).suggest_int("n", 1, 5, step=2) in (1, 3, 5) and "General/n" in task.told


@pytest.mark.parametrize(("low", "high", "log", "step"), [(1, 64, True, 1), (0, 9, False, 3), (5, 5, True, 1)])
def test_drawn_numbers_are_of_their_range(low, high, log, step):
    drawn = set()
    for seed in range(200):
        task = Task()
        task.id = str(seed)
        drawn.add(Trial(task).suggest_int("n", low, high, log=log, step=step))
    assert all(low <= value <= high and (value - low) % step == 0 for value in drawn)
    assert len(drawn) > 20 or drawn == set(range(low, high + 1, step))


def test_choices_of_any_kind_are_kept_by_their_texts():
    shapes = [(64, 32), (128,)]
    task = Task(shape="(128,)")
    assert Trial(task).suggest_categorical("shape", shapes) == (128,)
    task = Task()
    drawn = Trial(task).suggest_categorical("shape", shapes)
    assert drawn in shapes and task.told["General/shape"][:2] == (
        str(drawn),
        {"type": "categorical", "choices": ["(64, 32)", "(128,)"]},
    )
    with pytest.raises(ValueError, match=r"two of the choices .* have the same text"):
        Trial(task).suggest_categorical("flag", [True, "True"])


def test_what_a_user_gave_without_a_range_is_described():
    task = Task(x="0.5")
    task.data.hyperparams["General"]["x"].description = ""
    assert Trial(task).suggest_float("x", 0, 1) == 0.5
    assert task.told["General/x"][:2] == (0.5, {"type": "float", "low": 0, "high": 1, "log": False})
