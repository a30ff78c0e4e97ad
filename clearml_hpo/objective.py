"""The objective: which reported scalar is optimised, and how one number is taken from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["minimize", "maximize"]
Reading: TypeAlias = Literal["last", "best"]


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
            raise ValueError(f"{metric!r} is not of the form title/series, such as validation/logloss")
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
