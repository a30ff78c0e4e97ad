"""The search space: which hyperparameters are varied, and over which values.

Names are ClearML's: ``section/name``, such as ``General/learning_rate``. A space is a frozen value; the sampler draws
from it, ClearML's experiment table stores what was drawn as text, and :meth:`SearchSpace.parse` reads it back.

A parameter may have a condition: it is *active* where other parameters have certain values. A trial's parameters are
the active ones alone; the others keep the template's own values.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from clearml_hpo.errors import nearest
from clearml_hpo.expressions import Expression

Value: TypeAlias = int | float | str | bool | None
Params: TypeAlias = Mapping[str, Value]
Condition: TypeAlias = Mapping[str, tuple[Value, ...]]
"""What other parameters must be, all of them; one is met by any of its values."""

DEFAULT_SECTION = "General"

_HYDRA = "Hydra/"
_HYDRA_WORDS = ("null", "true", "false", "nan", "inf")
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")


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
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (self.log or (value - self.low) % self.step == 0)
        )

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
        return abs(steps - round(steps)) < 1e-8

    @property
    def values(self) -> Sequence[Value] | None:
        """All values, in their order; None if there are infinitely many."""
        if self.low == self.high:
            return (self.low,)
        if self.step is None:
            return None
        steps = int((self.high - self.low) / self.step + 1e-8)
        return [self.low + index * self.step for index in range(steps + 1)]

    def draw(self, rng: random.Random) -> Value:
        """A value, drawn evenly; with ``log`` its logarithm is."""
        values = self.values
        if values is not None:
            return rng.choice(values)
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
        return _is_among(value, self.choices)

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
        found = [c for c in self.choices if all(n in params and _is_same(params[n], v) for n, v in c.items())]
        return max(found, key=len, default={})


@dataclass(frozen=True)
class _Step:
    """One thing to decide on the way to a point: what it is called, from what it is drawn, and when."""

    name: str
    kind: Parameter
    condition: Condition = field(default_factory=dict)
    combination: Combination | None = None

    @property
    def names(self) -> Iterable[str]:
        return self.combination.parameters if self.combination else (self.name,)

    def is_active(self, known: Params) -> bool:
        return all(parent in known and _is_among(known[parent], values) for parent, values in self.condition.items())

    def given(self, value: Value) -> Params:
        """The parameters that it decides."""
        if self.combination is None:
            return {self.name: value}
        return next(choice for choice in self.combination.choices if self.combination.label(choice) == value)

    def taken(self, params: Params) -> Params:
        """What ``params`` says of it; empty if nothing."""
        if self.combination is not None:
            return self.combination.find(params)
        return {self.name: params[self.name]} if self.name in params else {}


@dataclass(frozen=True)
class SearchSpace:
    """Parameters by their full ClearML name, ``section/name``.

    Attributes:
        parameters: those that stand alone, and constants.
        conditions: when a parameter is active; one without is active always. A parameter whose condition names an
            inactive one is inactive.
        constraints: what must hold between parameters; one that names an inactive parameter is not looked at.
        combinations: parameters that take their values together.

    Raises:
        ValueError: a condition names an unknown parameter, a value that it cannot take, or goes round in a circle; a
            parameter is in two combinations.
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    constraints: tuple[Expression, ...] = ()
    combinations: tuple[Combination, ...] = ()

    def __post_init__(self) -> None:
        combined = [name for combination in self.combinations for name in combination.parameters]
        twice = [name for name in combined if combined.count(name) > 1 or name in self.parameters]
        if twice:
            raise ValueError(f"{twice[0]} is given twice")
        conditional = [name for name in combined if name in self.conditions]
        if conditional:
            raise ValueError(f"{conditional[0]} is part of a combination and cannot have a condition")
        fault = next(faults_of_conditions(self._all, self.conditions), None)
        if fault is not None:
            raise ValueError(f"the condition of {fault[0]}: {fault[2]}")

    @cached_property
    def _all(self) -> dict[str, Parameter]:
        combined = {n: p for combination in self.combinations for n, p in combination.parameters.items()}
        return {**combined, **self.parameters}

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The parameters that vary, those of combinations each by itself."""
        return {name: p for name, p in self._all.items() if not isinstance(p, Constant)}

    @property
    def constants(self) -> dict[str, Value]:
        """The values that every trial gets; conditional constants are not among them."""
        return {n: p.value for n, p in self.parameters.items() if isinstance(p, Constant) and n not in self.conditions}

    @property
    def names(self) -> tuple[str, ...]:
        """All hyperparameters that trials may be given."""
        return tuple(self._all)

    @property
    def axes(self) -> dict[str, Distribution]:
        """What the sampler draws, parents before their children: each parameter, and each combination as one."""
        return {step.name: step.kind for step in self._steps if not isinstance(step.kind, Constant)}

    @property
    def is_conditional(self) -> bool:
        """Whether some points have parameters that others have not."""
        return any(name in self.distributions for name in self.conditions)

    def build(self, draw: Callable[[str, Distribution], Value]) -> dict[str, Value]:
        """A point of which ``draw`` says the value of each active axis; constraints are not looked at."""
        return self._walk(lambda step, kind: step.given(draw(step.name, kind)))

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """A point at random; constraints are not looked at."""
        return self.build(lambda _, distribution: distribution.draw(rng))

    def along_axes(self, params: Params) -> dict[str, Value]:
        """A point in the sampler's terms: by axis, combinations as their texts."""
        drawn: dict[str, Value] = {}

        def note(step: _Step, _: Distribution) -> Params:
            taken = step.taken(params)
            drawn[step.name] = step.combination.label(taken) if step.combination else taken[step.name]
            return taken

        self._walk(note)
        return drawn

    def contains(self, params: Params) -> bool:
        """Whether ``params`` is a point of this space.

        That is: the active varying parameters and no others, each within its range, and the constraints hold.
        """
        within = True

        def check(step: _Step, kind: Distribution) -> Params:
            nonlocal within
            taken = step.taken(params)
            within = within and bool(taken) and (step.combination is not None or kind.contains(taken[step.name]))
            return taken

        active = self._walk(check)
        return within and active.keys() == params.keys() and self.allows(params)

    def allows(self, params: Params) -> bool:
        """Whether the constraints between parameters hold at ``params``."""
        if not self.constraints:
            return True
        values = self.hyperparameters(params)
        return all(_holds(constraint, values) for constraint in self.constraints if constraint.names <= values.keys())

    def hyperparameters(self, params: Params) -> dict[str, Value]:
        """All that a trial at ``params`` is given: these, and the constants that are active with them."""
        known: dict[str, Value] = {}
        for step in self._steps:
            if step.is_active(known):
                known.update({step.name: step.kind.value} if isinstance(step.kind, Constant) else step.taken(params))
        return {**known, **params}

    def parse(self, texts: Mapping[str, str]) -> dict[str, Value]:
        """Reads back a point of the space from a task's hyperparameters, which are text; inactive ones are passed over.

        What is missing or cannot be read is left as it was found, so that :meth:`contains` says no.
        """
        read = {name: _parsed(name, d, texts[name]) for name, d in self.distributions.items() if name in texts}
        return self._walk(lambda step, _: step.taken(read))

    def points(self, limit: int) -> Iterator[dict[str, Value]]:
        """All points that the constraints allow; none if there are more than ``limit`` without them."""
        if self.size <= limit:
            yield from (point for point in self._points(0, {}) if self.allows(point))

    @cached_property
    def size(self) -> float:
        """How many points there are, constraints not looked at; infinity if one parameter is continuous."""
        return _count(self._steps, 0, {}, {})

    def _points(self, index: int, known: Params) -> Iterator[dict[str, Value]]:
        if index == len(self._steps):
            distributions = self.distributions
            yield {name: value for name, value in known.items() if name in distributions}
            return
        step = self._steps[index]
        if not step.is_active(known):
            yield from self._points(index + 1, known)
            return
        values = (step.kind.value,) if isinstance(step.kind, Constant) else step.kind.values or ()
        for value in values:
            yield from self._points(index + 1, {**known, **step.given(value)})

    def _walk(self, decide: Callable[[_Step, Distribution], Params]) -> dict[str, Value]:
        """The varying parameters, decided step by step where they are active."""
        known: dict[str, Value] = {}
        decided: dict[str, Value] = {}
        for step in self._steps:
            if not step.is_active(known):
                continue
            if isinstance(step.kind, Constant):
                known[step.name] = step.kind.value
            else:
                found = decide(step, step.kind)
                known.update(found)
                decided.update(found)
        return decided

    @cached_property
    def _steps(self) -> tuple[_Step, ...]:
        """In the order given, but each parameter as soon as all that its condition names are there."""
        waiting = {n: _Step(n, p, self.conditions.get(n, {})) for n, p in self.parameters.items()}
        steps = [_Step(c.name, c.axis, combination=c) for c in self.combinations]
        known = {name for step in steps for name in step.names}
        while waiting:
            step = next(s for s in waiting.values() if s.condition.keys() <= known)
            steps.append(waiting.pop(step.name))
            known.add(step.name)
            children = (s for s in waiting.values() if step.name in s.condition and s.condition.keys() <= known)
            waiting = {**{child.name: child for child in children}, **waiting}
        return tuple(steps)


def faults_of_conditions(
    parameters: Mapping[str, Parameter], conditions: Mapping[str, Condition]
) -> Iterator[tuple[str, str, str]]:
    """What is wrong with conditions: the parameter, the one that its condition names, and what is wrong with that."""
    for name, condition in conditions.items():
        for parent, values in condition.items():
            for fault in _faults_of_parent(name, parent, values, parameters):
                yield name, parent, fault
    followed: dict[str, Condition] = {**conditions}
    while followed:  # what depends on nothing that has a condition can go; a circle cannot
        free = [n for n, condition in followed.items() if not any(p in followed and p != n for p in condition)]
        if not free:
            name = next(iter(followed))
            circle = _circle(name, followed)
            yield circle[0], circle[1], f"it depends on itself: {' → '.join(circle)}"
            return
        followed = {n: condition for n, condition in followed.items() if n not in free}


def _faults_of_parent(
    name: str, parent: str, values: Sequence[Value], parameters: Mapping[str, Parameter]
) -> Iterator[str]:
    found = parameters.get(parent)
    if name not in parameters:
        yield "there is no such parameter in the search space"
    elif parent == name:
        yield "it depends on itself"
    elif found is None:
        yield f"no parameter {parent!r} in the search space{nearest(parent, [n for n in parameters if n != name])}"
    elif isinstance(found, Float):
        yield f"{parent} is a float; a condition looks at a categorical, an int or a constant"
    elif not values:
        yield f"no value of {parent} is named"
    elif not isinstance(found, Constant):
        # Of a constant any value may be named: a study that fixes one choice need not change what depends on it.
        for value in values:
            if not found.contains(value):
                choices = found.choices if isinstance(found, Categorical) else ()
                hint = nearest(as_text(value), map(as_text, choices))
                yield f"{parent} is never {value!r}{hint}; it is {found}"


def _circle(name: str, conditions: Mapping[str, Condition]) -> list[str]:
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        name = next(parent for parent in conditions[name] if parent in conditions)
    return [*seen[seen.index(name) :], name]


class _Other:
    """Stands for the values of a parameter that no condition names."""


def _count(steps: Sequence[_Step], index: int, known: Mapping[str, object], counted: dict[object, float]) -> float:
    """How many ways there are to decide ``steps`` from ``index`` on; ``counted`` are those found before."""
    if index == len(steps):
        return 1
    named = {parent for step in steps[index:] for parent in step.condition}
    key = (index, frozenset((n, type(v), v) for n, v in known.items() if n in named))
    if key not in counted:
        counted[key] = _count_step(steps, index, known, counted)
    return counted[key]


def _count_step(steps: Sequence[_Step], index: int, known: Mapping[str, object], counted: dict[object, float]) -> float:
    step = steps[index]

    def rest(found: Mapping[str, object]) -> float:
        return _count(steps, index + 1, {**known, **found}, counted)

    if not all(_is_among(known.get(parent, _Other), values) for parent, values in step.condition.items()):
        return rest({})
    if isinstance(step.kind, Constant):
        return rest({step.name: step.kind.value})
    if step.combination is not None:
        return sum(rest(choice) for choice in step.combination.choices)
    values = step.kind.values
    if values is None:
        return math.inf
    named = {(type(v), v): v for later in steps[index:] for v in later.condition.get(step.name, ())}
    total = sum(rest({step.name: value}) for value in named.values())
    return total + (len(values) - len(named)) * rest({}) if len(values) > len(named) else total


def resolve_name(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that a person means by ``name``, which may lack the section; None if none or several fit."""
    known = list(names)
    for candidate in (name, full_name(name)):
        if candidate in known:
            return candidate
    for short in (str.partition, str.rpartition):  # without the section; the last part alone
        found = [full for full in known if short(full, "/")[2] == name]
        if len(found) == 1:
            return found[0]
    return None


def full_name(name: str) -> str:
    """``learning_rate`` → ``General/learning_rate``; a name that has a section keeps it."""
    return name if "/" in name else f"{DEFAULT_SECTION}/{name}"


def as_text(value: Value) -> str:
    """How ClearML's SDK writes a hyperparameter: its ``str``, and nothing for None."""
    return "" if value is None else str(value)


def text_of(name: str, value: Value) -> str:
    """The text of a hyperparameter; in the section Hydra, which reads the types from it, as Hydra writes it."""
    if not name.startswith(_HYDRA):
        return as_text(value)
    if value is None:
        return "null"
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.lower() not in _HYDRA_WORDS):
        return str(value)
    # Backslashes count as such only before a quote, the closing one included.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", "\\'"), value)
    return f"'{escaped}'"


def _from_hydra(text: str) -> str:
    """The text that :func:`as_text` gives for what :func:`text_of` wrote."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    if text == "null":
        return ""
    if len(text) < 2 or not text[0] == text[-1] == "'":
        return text
    return re.sub(r"(\\*)('|$)", lambda found: found[1][: len(found[1]) // 2] + found[2], text[1:-1])


def _is_same(one: object, other: object) -> bool:
    """Equal, and of one type: 1 is neither True nor 1.0."""
    return type(one) is type(other) and one == other


def _is_among(value: object, values: Iterable[object]) -> bool:
    return any(_is_same(value, other) for other in values)


def _holds(constraint: Expression, values: Params) -> bool:
    try:
        return constraint.holds(values)
    except TypeError:  # for some values only, or it would have been a fault of the study file
        return False


def _parsed(name: str, distribution: Distribution, text: str) -> Value:
    try:
        return distribution.parse(_from_hydra(text) if name.startswith(_HYDRA) else text)
    except ValueError:
        return text


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
