"""When a hyperparameter is active, and what conditions make no sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from clearml_hpo.core.errors import nearest
from clearml_hpo.core.near_names import near_parameter
from clearml_hpo.core.values import Value, as_text
from clearml_hpo.search.space.ranges import Categorical, Constant, Float, Int, Parameter

Condition: TypeAlias = Mapping[str, tuple[Value, ...]]
"""What other parameters must be, all of them; one is met by any of its values."""


def faults_of_conditions(
    parameters: Mapping[str, Parameter], conditions: Mapping[str, Condition]
) -> Iterator[tuple[str, str, str]]:
    """What is wrong with conditions: the parameter, the one that its condition names, and what is wrong with that."""
    for name, condition in conditions.items():
        for parent, values in condition.items():
            for fault in _faults_of_parent(name, parent, values, parameters):
                yield name, parent, fault
    if circle := _circle(conditions):
        yield circle[0], circle[1], f"it depends on itself: {' → '.join(circle)}"


def _faults_of_parent(
    name: str, parent: str, values: Sequence[Value], parameters: Mapping[str, Parameter]
) -> Iterator[str]:
    found = parameters.get(parent)
    if name not in parameters:
        yield "there is no such parameter in the search space"
    elif parent == name:
        yield "it depends on itself"
    elif found is None:
        others = [other for other in parameters if other != name]
        yield f"no parameter {parent!r} in the search space{near_parameter(parent, others)}"
    elif isinstance(found, Float):
        yield f"{parent} is a float; a condition looks at a categorical, an int or a constant"
    elif not values:
        yield f"no value of {parent} is named"
    elif not isinstance(found, Constant):
        # Of a constant any value may be named: a study that fixes one choice need not change what depends on it.
        yield from _never(parent, found, values)


def _never(parent: str, found: Categorical | Int, values: Sequence[Value]) -> Iterator[str]:
    choices = [as_text(choice) for choice in found.choices] if isinstance(found, Categorical) else []
    for value in values:
        if not found.contains(value):
            yield f"{parent} is never {value!r}{nearest(as_text(value), choices)}; it is {found}"


def _circle(conditions: Mapping[str, Condition]) -> list[str]:
    """Parameters each of which depends on the next, the first one twice; empty if there are none."""
    left: dict[str, Condition] = {**conditions}
    while left:  # what depends on nothing that has a condition can go; a circle cannot
        free = [n for n, condition in left.items() if not any(p in left and p != n for p in condition)]
        if not free:
            return _circle_from(next(iter(left)), left)
        left = {n: condition for n, condition in left.items() if n not in free}
    return []


def _circle_from(name: str, conditions: Mapping[str, Condition]) -> list[str]:
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        name = next(parent for parent in conditions[name] if parent in conditions)
    return [*seen[seen.index(name) :], name]
