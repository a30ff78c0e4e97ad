"""Ranges that a user has narrowed: what is proposed from then on. What was tried outside of them stays valid."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from clearml_hpo.core.near_names import near_parameter
from clearml_hpo.core.values import Params, Value
from clearml_hpo.search.space import Categorical, Distribution, OpenSpace, SearchSpace, at_random

Limits: TypeAlias = Mapping[str, Any]
"""``low``, ``high`` or both of a number; ``choices`` of a categorical parameter."""


@dataclass(frozen=True)
class Narrowing:
    """The parameters that are narrowed, with the ranges that are left; samplers go on to know the whole ones."""

    ranges: Mapping[str, Distribution] = field(default_factory=dict)

    def allows(self, params: Params) -> bool:
        """Whether a point lies within what is left."""
        return all(left.contains(params[name]) for name, left in self.ranges.items() if name in params)

    def at_random(self, rng: random.Random) -> Callable[[str, Distribution], Value]:
        """For ``SearchSpace.build``: a point at random, within what is left as far as that goes."""
        draw = at_random(rng)
        return lambda name, distribution: draw(name, self.ranges.get(name, distribution))

    def __str__(self) -> str:
        return ", ".join(f"{name}: {left}" for name, left in self.ranges.items()) or "nothing is narrowed"


def narrowed(space: SearchSpace, limits: Mapping[str, Limits]) -> Narrowing:
    """The narrowing of a space by ``limits`` for each parameter.

    Raises:
        ValueError: there is no such parameter, or its limits are not within its range.
    """
    if isinstance(space, OpenSpace):
        raise ValueError("the script suggests its parameters itself, and draws what it likes")
    varying = space.distributions
    for name in limits:
        if name not in varying:
            raise ValueError(
                f"{name}: no parameter that varies{near_parameter(name, varying)}; there are: {', '.join(varying)}"
            )
    return Narrowing({name: _left(name, varying[name], each) for name, each in limits.items()})


def _left(name: str, known: Distribution, limits: Limits) -> Distribution:
    keys = ("choices",) if isinstance(known, Categorical) else ("low", "high")
    for key in limits:
        if key not in keys:
            raise ValueError(f"{name}.{key}: allowed for {known}: {', '.join(keys)}")
    if not limits:
        return known
    given = limits.get("choices", ()) if isinstance(known, Categorical) else limits.values()
    for value in given:
        if not known.contains(value):
            raise ValueError(f"{name}: found {value!r}; allowed: {known}")
    if isinstance(known, Categorical):
        return Categorical(tuple(given))
    return replace(known, **limits)
