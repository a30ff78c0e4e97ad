"""What the search-quality benchmark searches: a space and a value, or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from optuna._hypervolume import compute_hypervolume

from clearml_hpo.search.space import SearchSpace

Reached: TypeAlias = float | tuple[float, ...]


@dataclass(frozen=True)
class Problem:
    """A search space and the value to minimise, or several.

    Attributes:
        space: its names have no section.
        optimum: the smallest value; None if nobody knows it.
        own: what the library itself would take, cut to the ranges: our sides try it first, as a study does with the
            template's own values.
        reference: with several values, for each the one from which on a point counts for nothing. None is below 0.
        noise: standard deviation of what is added to the value that a sampler is told; regret counts the value itself.
    """

    space: SearchSpace
    value: Callable[[Mapping[str, Any]], Reached]
    optimum: float | None = None
    noise: float = 0.0
    own: Mapping[str, Any] | None = None
    reference: tuple[float, ...] = ()


def hypervolume(points: Iterable[Sequence[float]], reference: Sequence[float]) -> float:
    """The share of the box from 0 to ``reference`` that the front of ``points`` leaves behind, 0 to 1.

    The measure is of Zitzler and Thiele, Multiobjective Optimization Using Evolutionary Algorithms, PPSN V, 1998.
    """
    scaled = np.array([*points]) / reference
    return float(compute_hypervolume(np.minimum(scaled, 1.0), np.ones(len(reference))))
