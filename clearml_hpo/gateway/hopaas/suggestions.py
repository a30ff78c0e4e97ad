"""The ranges of a set-up: ``optuna#kind(argument,argument,...)``.

=================================  ===================================================
``uniform``, ``float``             low, high, step, log (the last two may be left out)
``int``                            low, high, step, log (the last two may be left out)
``loguniform``, ``log_uniform``    low, high
``discrete_uniform``               low, high, step (may be left out)
``categorical``                    the choices: texts, as they stand between the commas
=================================  ===================================================

A step of ``None``, ``NaN`` or ``False`` is none. ``log_uniform`` of words is ``categorical``, as an old client writes
it. The text is split once and nothing is evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.search.space import Categorical, Distribution, Float, Int

_PREFIX = "optuna#"
_MOST_CHOICES = 1_000
_MOST_STEPS = 1_000_000  # of a range of floats: samplers of finite spaces list them all
_LONGEST_SHOWN = 80
_LONGEST_NUMBER = 400  # characters
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False}
_NO_STEP = ("none", "nan", "false", "null")


def is_suggestion(value: object) -> bool:
    """True if a value of a set-up is a range, sound or not."""
    return isinstance(value, str) and value.startswith(_PREFIX)


def parse_suggestion(text: str) -> Distribution:
    """The range that ``text`` stands for.

    Raises:
        InputError: it stands for none; the message says why.
    """
    kind, bracket, rest = text.removeprefix(_PREFIX).partition("(")
    kind = kind.strip()
    if not bracket or not rest.rstrip().endswith(")"):
        raise InputError(f"found {_shown(text)}; expected such as {_PREFIX}uniform(0,1)")
    inner = rest.rstrip()[:-1]
    if kind not in _KINDS:
        raise InputError(f"no such kind of range: {_shown(kind)}{nearest(kind, _KINDS)} (one of: {', '.join(_KINDS)})")
    arguments = inner.split(",") if inner.strip() else []
    try:
        return _KINDS[kind](arguments)
    except ValueError as error:
        raise InputError(f"found {_shown(text)}: {error}") from None


def definition(distribution: Distribution) -> dict[str, object]:
    """The keys with which a study file writes the range."""
    if isinstance(distribution, Categorical):
        return {"type": "categorical", "choices": list(distribution.choices)}
    whole = isinstance(distribution, Int)
    written: dict[str, object] = {
        "type": "int" if whole else "float",
        "low": distribution.low,
        "high": distribution.high,
    }
    if distribution.step is not None and not (whole and distribution.step == 1):
        written["step"] = distribution.step
    return {**written, "log": True} if distribution.log else written


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


@dataclass(frozen=True)
class _Numbers:
    """Reads the arguments of a range of numbers; ``takes`` says how many there may be at most."""

    takes: int

    def __call__(self, arguments: Sequence[str], *, whole: bool = False, log: bool = False) -> Distribution:
        if not 2 <= len(arguments) <= self.takes:
            raise ValueError(f"it has {len(arguments)} arguments; low and high, at most {self.takes} in all")
        given = [argument.strip() for argument in arguments]
        low, high = (_number(text) for text in given[:2])
        step = None if len(given) < 3 or given[2].lower() in _NO_STEP else _number(given[2])
        log = log or (len(given) > 3 and _flag(given[3]))
        return _int(low, high, step, log) if whole else _float(low, high, step, log)


def _number(text: str) -> float:
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        raise ValueError(f"expected a number, found {_shown(text)}")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{_shown(text)} is too large for a float")
    return int(text) if text.lstrip("+-").isdigit() else number  # a float does not hold each whole number


def _flag(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(f"log: expected true or false, found {_shown(text)}")
    return _WORDS[text.lower()]


def _int(low: float, high: float, step: float | None, log: bool) -> Int:
    for number in (low, high, *(() if step is None else (step,))):
        if not float(number).is_integer():
            raise ValueError(f"expected whole numbers, found {number}")
    return Int(int(low), int(high), 1 if step is None else int(step), log)


def _float(low: float, high: float, step: float | None, log: bool) -> Float:
    found = Float(float(low), float(high), None if step is None else float(step), log)
    if not math.isfinite(found.high - found.low):
        raise ValueError("the distance from low to high is too large for a float")
    if found.step is not None and (found.high - found.low) / found.step > _MOST_STEPS:
        raise ValueError(f"more than {_MOST_STEPS:,} steps; leave the step out")
    return found


def _log_uniform(arguments: Sequence[str]) -> Distribution:
    # Older clients wrote choices so.
    if arguments and not any(_NUMBER.match(argument.strip()) for argument in arguments):
        return _categorical(arguments)
    return _Numbers(2)(arguments, log=True)


def _categorical(arguments: Sequence[str]) -> Categorical:
    if not arguments:
        raise ValueError("it has no choices")
    if len(arguments) > _MOST_CHOICES:
        raise ValueError(f"it has {len(arguments)} choices; at most {_MOST_CHOICES} are allowed")
    return Categorical(tuple(arguments))


_KINDS: Mapping[str, Callable[[Sequence[str]], Distribution]] = {
    "uniform": _Numbers(4),
    "float": _Numbers(4),
    "int": lambda arguments: _Numbers(4)(arguments, whole=True),
    "loguniform": lambda arguments: _Numbers(2)(arguments, log=True),
    "log_uniform": _log_uniform,
    "discrete_uniform": _Numbers(3),
    "categorical": _categorical,
}
