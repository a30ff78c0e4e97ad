"""What the search-quality benchmark searches: a space and a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clearml_hpo.search.space import SearchSpace


@dataclass(frozen=True)
class Problem:
    """A search space and the value to minimise.

    Attributes:
        space: its names have no section.
        optimum: the smallest value; None if nobody knows it.
        own: what the library itself would take, cut to the ranges: our sides try it first, as a study does with the
            template's own values.
        noise: standard deviation of what is added to the value that a sampler is told; regret counts the value itself.
    """

    space: SearchSpace
    value: Callable[[Mapping[str, Any]], float]
    optimum: float | None = None
    noise: float = 0.0
    own: Mapping[str, Any] | None = None
