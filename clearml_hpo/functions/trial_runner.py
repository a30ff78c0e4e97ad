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
_NOTHING = object()


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
        entries = (task.data.hyperparams or {}).get(SECTION) or {}
        self._described = {name for name, entry in entries.items() if entry.description}
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

        def read(text: str) -> Any:
            return value if low <= (value := float(text)) <= high else _NOTHING

        def draw() -> float:
            if step is not None:
                return float(low + step * self._random.randint(0, int((high - low) / step + 1e-8)))
            return _log(self._random, low, high) if log else self._random.uniform(low, high)

        return float(self._suggest(name, definition, read, draw))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from ``low`` to ``high``."""
        definition = {"type": "int", "low": low, "high": high, "step": step, "log": log}

        def read(text: str) -> Any:
            value = float(text)
            return int(value) if low <= value <= high and (value - low) % step == 0 else _NOTHING

        def draw() -> int:
            if log:
                return min(high, max(low, int(_log(self._random, low - 0.5, high + 0.5) + 0.5)))
            return low + step * self._random.randint(0, (high - low) // step)

        return int(self._suggest(name, definition, read, draw))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of ``choices``; what is no text, number or boolean is kept as its text.

        Raises:
            ValueError: two of them have the same text, by which the task keeps them.
        """
        by_text = {"" if choice is None else str(choice): choice for choice in choices}
        if len(by_text) < len(choices):
            raise ValueError(f"suggest_categorical({name!r}): two of the choices {list(choices)} have the same text")
        shown = [each if each is None or isinstance(each, (bool, int, float, str)) else str(each) for each in choices]
        definition = {"type": "categorical", "choices": shown}
        return self._suggest(
            name, definition, lambda text: by_text.get(text, _NOTHING), lambda: self._random.choice(list(choices))
        )

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
        value = _NOTHING
        if (text := self._given.get(f"{SECTION}/{name}")) is not None:
            try:
                value = read(str(text))
            except ValueError:  # text of another kind
                value = _NOTHING
        is_new = value is _NOTHING
        value = draw() if is_new else value
        if is_new or name not in self._described:
            said = json.dumps({key: each for key, each in definition.items() if each is not None})
            shown = value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
            self._task.set_parameter(f"{SECTION}/{name}", shown, description=said, value_type=type(shown))
        self.params[name] = value
        return value


def _log(generator: random.Random, low: float, high: float) -> float:
    from math import exp, log

    return min(high, max(low, exp(generator.uniform(log(low), log(high)))))


def main() -> None:
    """Runs the objective once."""
    from clearml import Task

    Task.set_random_seed(None)  # or each trial would begin with the same one
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
