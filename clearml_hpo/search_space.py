"""The search space: which hyperparameters are varied, and over which values.

Names are ClearML's: ``section/name``, such as ``General/learning_rate``. A space is a frozen value; the sampler draws
from it, ClearML's experiment table stores what was drawn as text, and :meth:`SearchSpace.parse` reads it back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = int | float | str | bool | None
Params: TypeAlias = Mapping[str, Value]

DEFAULT_SECTION = "General"


@dataclass(frozen=True)
class Int:
    """Whole numbers ``low, low + step, ...`` up to ``high``, both ends included; ``log`` draws the logarithm evenly."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.step, self.log)
        if self.log and self.step != 1:
            raise ValueError("log and step exclude each other")

    def parse(self, text: str) -> Value:
        """The value that ``text`` stands for; raises ValueError."""
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text!r} is not a whole number")
        return int(number)

    def contains(self, value: Value) -> bool:
        """Whether the parameter can take ``value``."""
        return (
            isinstance(value, int)
            and self.low <= value <= self.high
            and (self.log or (value - self.low) % self.step == 0)
        )

    def __str__(self) -> str:
        return _describe("int", self.low, self.high, None if self.step == 1 else self.step, self.log)


@dataclass(frozen=True)
class Float:
    """Numbers from ``low`` to ``high``, both ends included, on a grid of ``step`` if one is given."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.step, self.log)
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")

    def parse(self, text: str) -> Value:
        """The value that ``text`` stands for; raises ValueError."""
        return float(text)

    def contains(self, value: Value) -> bool:
        """Whether the parameter can take ``value``."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-8

    def __str__(self) -> str:
        return _describe("float", self.low, self.high, self.step, self.log)


@dataclass(frozen=True)
class Categorical:
    """One of ``choices``, which have no order."""

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices is empty")
        texts: dict[str, Value] = {}
        for choice in self.choices:
            text = as_text(choice)
            if text in texts:
                pair = f"{texts[text]!r} and {choice!r}"
                raise ValueError(f"choices has {pair}: both are {text!r} on the server and cannot be told apart")
            texts[text] = choice

    def parse(self, text: str) -> Value:
        """The choice that is written as ``text``; raises ValueError."""
        for choice in self.choices:
            if as_text(choice) == text:
                return choice
        raise ValueError(f"{text!r} is none of {', '.join(map(repr, self.choices))}")

    def contains(self, value: Value) -> bool:
        """Whether the parameter can take ``value``."""
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def __str__(self) -> str:
        return "categorical " + ", ".join(as_text(choice) for choice in self.choices)


@dataclass(frozen=True)
class Constant:
    """A value that every trial gets."""

    value: Value

    def __str__(self) -> str:
        return f"constant {as_text(self.value)}"


Distribution: TypeAlias = Int | Float | Categorical
Parameter: TypeAlias = Distribution | Constant


@dataclass(frozen=True)
class SearchSpace:
    """Parameters by their full ClearML name, ``section/name``."""

    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The parameters that vary."""
        return {name: p for name, p in self.parameters.items() if not isinstance(p, Constant)}

    @property
    def constants(self) -> dict[str, Value]:
        """The values that every trial gets."""
        return {name: p.value for name, p in self.parameters.items() if isinstance(p, Constant)}

    def contains(self, params: Params) -> bool:
        """Whether ``params`` is a point of this space: every varying parameter given, within its range."""
        return all(name in params and d.contains(params[name]) for name, d in self.distributions.items())

    def parse(self, texts: Mapping[str, str]) -> dict[str, Value]:
        """Reads back a point of the space from a task's hyperparameters, which are text.

        What is missing or cannot be read is left as it was found, so that :meth:`contains` says no.
        """
        params: dict[str, Value] = {}
        for name, distribution in self.distributions.items():
            if name not in texts:
                continue
            try:
                params[name] = distribution.parse(texts[name])
            except ValueError:
                params[name] = texts[name]
        return params


def full_name(name: str) -> str:
    """``learning_rate`` → ``General/learning_rate``; a name that has a section keeps it."""
    return name if "/" in name else f"{DEFAULT_SECTION}/{name}"


def as_text(value: Value) -> str:
    """How ClearML's SDK writes a hyperparameter: its ``str``, and nothing for None."""
    return "" if value is None else str(value)


def _check_range(low: float, high: float, step: float | None, log: bool) -> None:
    for name, number in (("low", low), ("high", high), ("step", step)):
        if number is not None and not math.isfinite(number):
            raise ValueError(f"{name} is {number}; it must be finite")
    if low > high:
        raise ValueError(f"low {low} is above high {high}: the range is empty")
    if step is not None and step <= 0:
        raise ValueError(f"step is {step}; it must be above 0")
    if log and low <= 0:
        raise ValueError(f"low is {low}; with log it must be above 0")


def _describe(kind: str, low: float, high: float, step: float | None, log: bool) -> str:
    return f"{kind} {low} .. {high}" + (f" step {step}" if step else "") + (" log" if log else "")
