"""When a hyperparameter is active, and what conditions make no sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from clearml_hpo.core.errors import nearest
from clearml_hpo.core.values import Value, as_text
from clearml_hpo.search.space.ranges import Categorical, Constant, Float, Parameter

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
