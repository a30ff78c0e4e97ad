"""A search space as steps: what is decided, one after the other, on the way to a point."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clearml_hpo.core.values import Params, Value, is_among
from clearml_hpo.search.space.conditions import Condition
from clearml_hpo.search.space.ranges import Combination, Constant, Distribution, Parameter


@dataclass(frozen=True)
class Step:
    """One thing to decide: what it is called, from what it is drawn, and when."""

    name: str
    kind: Parameter
    condition: Condition = field(default_factory=dict)
    combination: Combination | None = None

    @property
    def names(self) -> Iterable[str]:
        """The parameters that it decides."""
        return self.combination.parameters if self.combination else (self.name,)

    def is_active(self, known: Params) -> bool:
        """True if what was decided before it meets its condition."""
        return all(parent in known and is_among(known[parent], values) for parent, values in self.condition.items())

    def given(self, value: Value) -> Params:
        """The parameters that ``value`` stands for."""
        if self.combination is None:
            return {self.name: value}
        return next(choice for choice in self.combination.choices if self.combination.label(choice) == value)

    def taken(self, params: Params) -> Params:
        """What ``params`` says of it; empty if nothing."""
        if self.combination is not None:
            return self.combination.find(params)
        return {self.name: params[self.name]} if self.name in params else {}


def steps_of(
    parameters: Mapping[str, Parameter], conditions: Mapping[str, Condition], combinations: Sequence[Combination]
) -> tuple[Step, ...]:
    """In the order given, but each parameter as soon as all that its condition names are there."""
    waiting = {name: Step(name, parameter, conditions.get(name, {})) for name, parameter in parameters.items()}
    steps = [Step(each.name, each.axis, combination=each) for each in combinations]
    known = {name for step in steps for name in step.names}

    def is_ready(step: Step) -> bool:
        return step.condition.keys() <= known

    while waiting:
        step = next(filter(is_ready, waiting.values()))
        steps.append(waiting.pop(step.name))
        known.add(step.name)
        children = {child.name: child for child in waiting.values() if step.name in child.condition and is_ready(child)}
        waiting = {**children, **waiting}
    return tuple(steps)


def walk(steps: Sequence[Step], decide: Callable[[Step, Distribution], Params]) -> dict[str, Value]:
    """The varying parameters, decided step by step where they are active."""
    known: dict[str, Value] = {}
    decided: dict[str, Value] = {}
    for step in steps:
        if not step.is_active(known):
            continue
        if isinstance(step.kind, Constant):
            known[step.name] = step.kind.value
        else:
            found = decide(step, step.kind)
            known.update(found)
            decided.update(found)
    return decided


def points(steps: Sequence[Step], known: Params) -> Iterator[Params]:
    """All ways to go on from ``known``, constants included; no step is continuous."""
    if not steps:
        yield known
        return
    step, rest = steps[0], steps[1:]
    if not step.is_active(known):
        yield from points(rest, known)
        return
    for value in (step.kind.value,) if isinstance(step.kind, Constant) else step.kind.values or ():
        yield from points(rest, {**known, **step.given(value)})


def count(steps: Sequence[Step]) -> float:
    """How many points there are; infinity if one step is continuous."""
    return _count(steps, 0, {}, {})


def _count(steps: Sequence[Step], index: int, known: Params, counted: dict[object, float]) -> float:
    """How many ways there are to decide ``steps`` from ``index`` on; ``counted`` are those found before."""
    if index == len(steps):
        return 1
    named = {parent for step in steps[index:] for parent in step.condition}
    key = (index, frozenset((n, type(v), v) for n, v in known.items() if n in named))
    if key not in counted:
        counted[key] = _count_step(steps, index, known, counted)
    return counted[key]


def _count_step(steps: Sequence[Step], index: int, known: Params, counted: dict[object, float]) -> float:
    step = steps[index]

    def rest(found: Params) -> float:
        return _count(steps, index + 1, {**known, **found}, counted)

    if not step.is_active(known):
        return rest({})
    if isinstance(step.kind, Constant):
        return rest({step.name: step.kind.value})
    if step.combination is not None:
        return sum(map(rest, step.combination.choices))
    if math.isinf(step.kind.size):
        return math.inf
    # Values that no condition names are all alike: they are counted together, as no value.
    named = {(type(v), v): v for later in steps[index:] for v in later.condition.get(step.name, ())}
    others = step.kind.size - len(named)
    return sum(rest({step.name: value}) for value in named.values()) + (others * rest({}) if others > 0 else 0)
