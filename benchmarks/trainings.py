"""What the templates train, without ClearML: for those who run the same without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

Report = Callable[[float, int], None]
Training = Callable[[float, int, Report], float]


def no_op(x: float, depth: int, report: Report) -> float:
    """What ``no_op.py`` does."""
    for iteration in range(5):
        report(x + 1 / (iteration + 1), iteration)
    return x + 1 / 5


def sleep(x: float, depth: int, report: Report) -> float:
    """A second in which nothing is done."""
    time.sleep(1)
    report(x, 1)
    return x


def _catboost() -> Training:
    from benchmarks.catboost_cancer import train

    return train


TRAININGS: Mapping[str, Callable[[], Training]] = {
    "no_op": lambda: no_op,
    "sleep": lambda: sleep,
    "catboost": _catboost,
}
"""By template; a training is imported by the one who asks for it."""
