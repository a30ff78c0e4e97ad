"""Runs one trial of a Python function; made by clearml-hpo.

The function is in the file objective.pkl beside this one. What it suggests comes from the task's hyperparameters; a
parameter that the task does not have yet is drawn here, and written to the task with its range.
"""

# It runs where this project is not installed: it imports nothing of it.
from __future__ import annotations

import json
import random
from pathlib import Path

import cloudpickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

SECTION = "General"
OBJECTIVE = "objective"
SERIES = "value"
PRUNED = "pruned by its script"


class Trial:
    """One run of an objective, with the methods of ``optuna.Trial`` that objectives call.

    Attributes:
        number: its number in the study.
        params: what it has suggested so far.
        user_attrs: what :meth:`set_user_attr` was given.
    """

    def __init__(self, task: Any) -> None:
        """Reads the hyperparameters of the task that this process runs in."""
        self._task = task
        self._given = task.get_parameters() or {}
        self._random = random.Random(task.id)
        self._last_step = -1
        self.number = int(self._given.get("properties/trial") or 0)
        self.params: dict[str, Any] = {}
        self.user_attrs: dict[str, Any] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from ``low`` to ``high``."""
        definition = {"type": "float", "low": low, "high": high, "step": step, "log": log}

        def read(text: str) -> float | None:
            return value if low <= (value := float(text)) <= high else None

        def draw() -> float:
            if step is not None:
                return float(low + step * self._random.randint(0, int((high - low) / step + 1e-8)))
            return _log(self._random, low, high) if log else self._random.uniform(low, high)

        return float(self._suggest(name, definition, read, draw))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from ``low`` to ``high``."""
        definition = {"type": "int", "low": low, "high": high, "step": step, "log": log}

        def read(text: str) -> int | None:
            value = float(text)
            return int(value) if low <= value <= high and (value - low) % step == 0 else None

        def draw() -> int:
            if log:
                return min(high, max(low, int(_log(self._random, low - 0.5, high + 0.5) + 0.5)))
            return low + step * self._random.randint(0, (high - low) // step)

        return int(self._suggest(name, definition, read, draw))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of ``choices``: texts, numbers, booleans, None."""
        definition = {"type": "categorical", "choices": list(choices)}

        def read(text: str) -> tuple[Any] | None:
            return next(((choice,) for choice in choices if text == ("" if choice is None else str(choice))), None)

        found = self._suggest(name, definition, read, lambda: (self._random.choice(list(choices)),))
        return found[0] if isinstance(found, tuple) else found

    def report(self, value: float, step: int) -> None:
        """Reports an intermediate value; the study's pruner may end this process at once."""
        self._last_step = max(self._last_step, int(step))
        self._task.get_logger().report_scalar(OBJECTIVE, SERIES, float(value), int(step))

    def should_prune(self) -> bool:
        """False: the controller ends a trial that is to be pruned, the objective need not do so."""
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Notes something as a user property of the task."""
        self.user_attrs[key] = value
        self._task.set_user_properties(**{str(key): str(value)})

    def finish(self, values: Sequence[float]) -> None:
        """Reports the final values; takes what was not suggested this time off the task."""
        for index, value in enumerate(values):
            series = SERIES if len(values) == 1 else f"{SERIES} {index}"
            self._task.get_logger().report_scalar(OBJECTIVE, series, float(value), self._last_step + 1)
        for name in self._given:
            section, _, own = name.partition("/")
            if section == SECTION and own not in self.params:
                self._task.delete_parameter(name, force=True)  # of a task that runs

    def _suggest(
        self, name: str, definition: dict[str, Any], read: Callable[[str], Any], draw: Callable[[], Any]
    ) -> Any:
        if name in self.params:
            return self.params[name]
        value = None
        if (text := self._given.get(f"{SECTION}/{name}")) is not None:
            try:
                value = read(str(text))
            except ValueError:  # text of another kind
                value = None
        if value is None:
            value = draw()
            said = json.dumps({key: each for key, each in definition.items() if each is not None})
            shown = value[0] if isinstance(value, tuple) else value
            self._task.set_parameter(f"{SECTION}/{name}", shown, description=said, value_type=type(shown))
        self.params[name] = value[0] if isinstance(value, tuple) else value
        return self.params[name]


def _log(generator: random.Random, low: float, high: float) -> float:
    from math import exp, log

    return min(high, max(low, exp(generator.uniform(log(low), log(high)))))


def main() -> None:
    """Runs the objective once."""
    from clearml import Task

    task = Task.init()
    objective = cloudpickle.loads(Path(__file__).with_name("objective.pkl").read_bytes())
    trial = Trial(task)
    try:
        found = objective(trial)
    except Exception as error:
        if type(error).__name__ != "TrialPruned":
            raise
        task.flush(wait_for_uploads=True)
        task.mark_stopped(force=True, status_message=PRUNED)
        return
    trial.finish(found if isinstance(found, (list, tuple)) else [found])


if __name__ == "__main__":
    main()
