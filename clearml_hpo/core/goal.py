"""The goal of a study: which reported scalars are optimised, and which must keep within bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["minimize", "maximize"]
Reading: TypeAlias = Literal["last", "best"]

SINGLE_VALUES = "Summary"
"""The title of what ``report_single_value`` reports."""


@dataclass(frozen=True)
class MetricSummary:
    """What a ClearML server keeps of one scalar of one task (``last_metrics``).

    Attributes:
        last: the value reported last.
        min: the smallest value so far.
        max: the largest value so far.
        count: how often it was reported; older servers do not say, then 0.
    """

    last: float
    min: float
    max: float
    count: int = 0


@dataclass(frozen=True)
class Objective:
    """One scalar, ``title/series`` in ClearML's words, to be minimised or maximised.

    Attributes:
        reading: ``last`` takes the value reported last, ``best`` the best one of the whole run.
    """

    title: str
    series: str
    direction: Direction = "minimize"
    reading: Reading = "last"

    @classmethod
    def parse(cls, metric: str, direction: Direction = "minimize", reading: Reading = "last") -> Objective:
        """From ``title/series``; a title may itself hold slashes, a series may not. Raises ValueError."""
        title, slash, series = metric.rpartition("/")
        if not (slash and title and series):
            tag = (
                ""
                if slash
                else f"; a tag {metric!r} of TensorBoard is {metric}/{metric}, a single value Summary/{metric}"
            )
            raise ValueError(f"{metric!r} is not of the form title/series, such as validation/logloss{tag}")
        return cls(title, series, direction, reading)

    @property
    def metric(self) -> str:
        """``title/series``."""
        return f"{self.title}/{self.series}"

    def value(self, summary: MetricSummary | None) -> float | None:
        """The trial's value: None if nothing was reported, possibly NaN or infinite if that was reported."""
        if summary is None:
            return None
        if self.reading == "last":
            return summary.last
        return summary.min if self.direction == "minimize" else summary.max

    def better(self, value: float, than: float) -> bool:
        """Whether ``value`` is better than ``than``; NaN never is."""
        if math.isnan(value):
            return False
        return value < than if self.direction == "minimize" else value > than


@dataclass(frozen=True)
class MetricConstraint:
    """Bounds that a scalar must keep, such as a latency; its last value counts."""

    title: str
    series: str
    low: float | None = None
    high: float | None = None

    @property
    def metric(self) -> str:
        """``title/series``."""
        return f"{self.title}/{self.series}"

    def violation(self, summary: MetricSummary | None) -> float:
        """By how much the bounds are exceeded, 0 or less if they are kept; infinite if nothing finite was reported."""
        if summary is None or not math.isfinite(summary.last):
            return math.inf
        below = -math.inf if self.low is None else self.low - summary.last
        above = -math.inf if self.high is None else summary.last - self.high
        return max(below, above)

    def __str__(self) -> str:
        low = "" if self.low is None else f"{self.low:g} <= "
        return f"{low}{self.metric}" + ("" if self.high is None else f" <= {self.high:g}")


@dataclass(frozen=True)
class Goal:
    """What a study is after.

    Attributes:
        objectives: at least one; several are traded off against each other (Pareto front).
        constraints: a trial that breaks one may not be the best.
        pruned_by: the scalar that the pruner looks at; None: the objective, or with several none.
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[MetricConstraint, ...] = ()
    pruned_by: Objective | None = None

    def __post_init__(self) -> None:
        metrics = [objective.metric for objective in self.objectives]
        if not metrics or len(set(metrics)) < len(metrics):
            raise ValueError(f"objectives must be at least one, and different; found {', '.join(metrics) or 'none'}")

    @property
    def is_single(self) -> bool:
        """Whether there is one objective only."""
        return len(self.objectives) == 1

    @property
    def pruning_objective(self) -> Objective | None:
        """The scalar that a pruner may look at; None if nothing can be pruned."""
        return self.pruned_by or (self.objectives[0] if self.is_single else None)

    @property
    def counted(self) -> Objective:
        """The scalar whose reports are a trial's iterations: what a pruner looks at, or the first objective."""
        return self.pruning_objective or self.objectives[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """All scalars that are to be read of a trial, ``title/series``, each once."""
        pruning = (self.pruned_by,) if self.pruned_by else ()
        return tuple(dict.fromkeys(m.metric for m in (*self.objectives, *self.constraints, *pruning)))

    def values(self, summaries: Mapping[str, MetricSummary]) -> tuple[float | None, ...]:
        """A trial's values, one per objective; see :meth:`Objective.value`."""
        return tuple(objective.value(summaries.get(objective.metric)) for objective in self.objectives)

    def carried(self, values: tuple[float | None, ...], earlier: tuple[float | None, ...]) -> tuple[float | None, ...]:
        """The values of an attempt that goes on from an ``earlier`` one: the best one of a run is that of both.

        An attempt that has reported no value has none.
        """
        if not earlier:
            return values
        return tuple(
            old if o.reading == "best" and old is not None and new is not None and o.better(old, new) else new
            for o, new, old in zip(self.objectives, values, earlier, strict=True)
        )

    def violations(self, summaries: Mapping[str, MetricSummary]) -> tuple[float, ...]:
        """One per constraint; see :meth:`MetricConstraint.violation`."""
        return tuple(constraint.violation(summaries.get(constraint.metric)) for constraint in self.constraints)

    def __str__(self) -> str:
        return ", ".join(f"{objective.direction} {objective.metric}" for objective in self.objectives)
