"""What a hyperparameter may be: a range, a choice, a constant, or one of some combinations."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from clearml_hpo.core.values import Params, Value, as_text, is_among, is_same

MOST_INT = 2**53
"""Samplers calculate with floats, which hold each whole number up to this one."""
_ROUNDED = {"rel_tol": 1e-12, "abs_tol": 1e-8}  # by how much a sum of steps may be off, in steps


@dataclass(frozen=True)
class Int:
    """Whole numbers ``low, low + step, ...`` up to ``high``, both ends included; ``log`` draws the logarithm evenly."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        for name, number in (("low", self.low), ("high", self.high), ("step", self.step)):
            if abs(number) > MOST_INT:
                text = "is outside -2^53 .. 2^53, the whole numbers of a range; use a float, or choices as text"
                raise ValueError(f"{name} {number} {text}")
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
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (self.log or (value - self.low) % self.step == 0)
        )

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    @property
    def values(self) -> Sequence[Value]:
        """All values, in their order."""
        return range(self.low, self.high + 1, self.step)

    def draw(self, rng: random.Random) -> Value:
        """A value, all with the same chance."""
        return rng.choice(self.values)

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
        return math.isclose(steps, round(steps), **_ROUNDED)

    def key(self, value: Value) -> Value:
        """What tells values apart: on a grid, two that differ by rounding alone are one."""
        if self.step is None or not isinstance(value, (int, float)) or not self.contains(value):
            return value
        return self._at(round((value - self.low) / self.step))

    @property
    def size(self) -> float:
        """How many values there are; infinity without a grid."""
        if self.low == self.high:
            return 1
        if self.step is None:
            return math.inf
        steps = (self.high - self.low) / self.step
        return 1 + (round(steps) if math.isclose(steps, round(steps), **_ROUNDED) else int(steps))

    @property
    def values(self) -> Sequence[Value] | None:
        """All values, in their order; None if there are infinitely many."""
        return None if math.isinf(self.size) else [self._at(index) for index in range(int(self.size))]

    def _at(self, index: int) -> float:
        return min(self.low + index * (self.step or 0.0), self.high)  # a sum of steps is not exact

    def draw(self, rng: random.Random) -> Value:
        """A value, drawn evenly; with ``log`` its logarithm is."""
        if math.isfinite(self.size):
            return self._at(rng.randrange(int(self.size)))
        if not self.log:
            return rng.uniform(self.low, self.high)
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)  # the way through the logarithm is not exact

    def __str__(self) -> str:
        return _describe("float", self.low, self.high, self.step, self.log)


@dataclass(frozen=True)
class Categorical:
    """One of ``choices``, which have no order."""

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices is empty")
        if any(choice != choice for choice in self.choices):
            raise ValueError("choices has nan, which is equal to nothing; write it as a text: 'nan'")
        texts: dict[str, Value] = {}
        for choice in self.choices:
            text = as_text(choice)
            if text in texts:
                pair = f"{texts[text]!r} and {choice!r}"
                raise ValueError(f"choices has {pair}: both are {text!r} on the server and cannot be told apart")
            texts[text] = choice
        equal = next((pair for pair in itertools.combinations(self.choices, 2) if pair[0] == pair[1]), None)
        if equal:
            raise ValueError(f"choices has {equal[0]!r} and {equal[1]!r}, which are equal and cannot be told apart")

    def parse(self, text: str) -> Value:
        """The choice that is written as ``text``; raises ValueError."""
        for choice in self.choices:
            if as_text(choice) == text:
                return choice
        raise ValueError(f"{text!r} is none of {', '.join(map(repr, self.choices))}")

    def contains(self, value: Value) -> bool:
        """Whether the parameter can take ``value``."""
        return is_among(value, self.choices)

    @property
    def size(self) -> float:
        """How many choices there are."""
        return len(self.choices)

    @property
    def values(self) -> Sequence[Value]:
        """All choices."""
        return self.choices

    def draw(self, rng: random.Random) -> Value:
        """A choice, all with the same chance."""
        return rng.choice(self.choices)

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
class Combination:
    """Parameters that take their values together: one of ``choices``, each a few parameters with their values."""

    choices: tuple[Params, ...]

    def __post_init__(self) -> None:
        if not self.choices or not all(self.choices):
            raise ValueError("a combination needs choices, and each of them parameters")
        self.axis  # noqa: B018 - two choices that are one text are refused

    @cached_property
    def parameters(self) -> dict[str, Categorical]:
        """Each parameter by itself, with the values that it takes in some choice."""
        values: dict[str, dict[tuple[type, Value], None]] = {}
        for choice in self.choices:
            for name, value in choice.items():
                values.setdefault(name, {})[type(value), value] = None
        return {name: Categorical(tuple(value for _, value in found)) for name, found in values.items()}

    @property
    def name(self) -> str:
        """What the sampler calls it."""
        return " + ".join(self.parameters)

    @cached_property
    def axis(self) -> Categorical:
        """The choices as the sampler sees them: texts."""
        return Categorical(tuple(self.label(choice) for choice in self.choices))

    def label(self, choice: Params) -> str:
        """The text that stands for a choice."""
        return ", ".join(f"{name}={as_text(choice[name])}" for name in self.parameters if name in choice)

    def find(self, params: Params) -> Params:
        """The choice that ``params`` has all of, the largest one; empty if there is none."""
        found = [c for c in self.choices if all(n in params and is_same(params[n], v) for n, v in c.items())]
        return max(found, key=len, default={})


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
