"""The hypervolume of a Pareto front: how much of the space of values it leaves behind, counted trial by trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial
from clearml_hpo.report.figures.plot import fraction

Point: TypeAlias = tuple[float, ...]


def hypervolume_history(trials: Sequence[Trial], goal: Goal) -> list[float]:
    """After each of these completed trials, the hypervolume of the front up to it.

    Values are scaled so that the best seen of each objective is 1 and the worst 0; the worst of all is the point of
    reference. A front that is nowhere worse than the best seen would have the hypervolume 1.
    """
    gains = _scaled([trial.final_values or () for trial in trials], goal)
    front: list[Point] = []
    volumes: list[float] = []
    total = 0.0
    for gain in gains:
        if not any(_covers(other, gain) for other in front):
            total += _alone(gain, front)
            front = [other for other in front if not _covers(gain, other)] + [gain]
        volumes.append(total)
    return volumes


def _scaled(points: Sequence[Point], goal: Goal) -> list[Point]:
    columns = []
    for objective, column in zip(goal.objectives, zip(*points, strict=True), strict=True):
        worst, best = (max(column), min(column)) if objective.direction == "minimize" else (min(column), max(column))
        columns.append([1.0 if best == worst else fraction(value, worst, best) for value in column])
    return list(zip(*columns, strict=True))


def _alone(point: Point, others: Sequence[Point]) -> float:
    """The volume below ``point`` that is below none of ``others`` (While et al. 2012, the WFG algorithm)."""
    shadows = _front([tuple(map(min, point, other)) for other in others])
    return math.prod(point) - sum(_alone(shadow, shadows[:index]) for index, shadow in enumerate(shadows))


def _front(points: Sequence[Point]) -> list[Point]:
    front: list[Point] = []
    for point in points:
        if math.prod(point) > 0 and not any(_covers(other, point) for other in front):
            front = [other for other in front if not _covers(point, other)] + [point]
    return front


def _covers(one: Point, other: Point) -> bool:
    """Whether ``one`` is nowhere smaller."""
    return all(a >= b for a, b in zip(one, other, strict=True))
