"""What a further trial is expected to gain, as a Gaussian process sees it from the trials so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.values import Params
from clearml_hpo.search import gaussian_process as gp
from clearml_hpo.search.gaussian_process import Array
from clearml_hpo.search.rows import Rows
from clearml_hpo.search.space import OpenSpace, SearchSpace

_MOST_TRIALS = 400  # that the Gaussian process looks at: half of them the best, the others the last
_RANDOM, _BEST, _MUTANTS = 400, 8, 12  # points that are looked at: anywhere, and around so many of the best
_DEVIATIONS = (0.2, 0.05, 0.02)
_SHARE_CHANGED = 0.3


def check_outlook(space: SearchSpace, goal: Goal) -> None:
    """Raises InputError if a study is none of which an outlook can be given."""
    if not goal.is_single:
        raise InputError(f"only with one objective, found {len(goal.objectives)}")
    if isinstance(space, OpenSpace):
        raise InputError("not where the script suggests its parameters itself: the search space is not known before")


def expected_gain(
    space: SearchSpace,
    points: Sequence[Params],
    values: Sequence[float],
    without_value: Sequence[Params] = (),
    allows: Callable[[Params], bool] | None = None,
) -> float | None:
    """By how much the most promising point is expected to improve on the best trial.

    It is the largest expected improvement over what is expected at the best known point; studies that stop once it is
    small: Nguyen et al. 2017, "Regret for Expected Improvement over the Best-Observed Value and Stopping Condition".

    Args:
        points: of completed trials, in the order of their ends.
        values: theirs, the smaller the better.
        without_value: points of trials that were pruned, have failed, or break a constraint: they count as worst.
        allows: whether a point may be proposed; None for all.

    Returns:
        The gain in the unit of ``values``; None if the better half of them is one value, or no point is left.
    """
    rows, rng = Rows(space), np.random.default_rng(0)
    chosen = _most_telling(values)
    found = np.array([values[index] for index in chosen])
    known = np.array([rows.encode(space.along_axes(points[index])) for index in chosen])
    worst = [rows.encode(space.along_axes(params)) for params in without_value[-_MOST_TRIALS // 4 :]]
    last_good = int((found <= np.median(found)).sum()) - 1
    if found[last_good] == found[0]:
        return None
    x = rows.columns(np.vstack([known, *worst]))
    y = gp.half_ranked(found, len(worst))
    with gp.one_thread():
        surface = gp.condition(rows.features, x, y, gp.fit(rows.features, x, y))
    near = np.repeat(known[:_BEST], _MUTANTS, axis=0)
    around = [rows.near(near, rng, _SHARE_CHANGED, deviation) for deviation in _DEVIATIONS]
    taken = {_key(row) for row in (*known, *worst)}
    looked_at = [
        row
        for row in np.vstack([rows.at_random(rng, _RANDOM), *around])
        if _key(row) not in taken and (allows is None or allows(rows.params(row)))
    ]
    if not looked_at:
        return None
    mean, deviation = surface.predict(rows.columns(np.array(looked_at)))
    lowest = float(surface.predict(x)[0].min())
    gain = math.exp(float(gp.log_expected_improvement(mean, deviation, lowest).max()))
    # The better half of the values keeps its distances.
    return gain * float((found[last_good] - found[0]) / (y[last_good] - y[0]))


def _most_telling(values: Sequence[float]) -> list[int]:
    """Places of the best and the last values, the best first."""
    ranked = sorted(range(len(values)), key=lambda index: (values[index], index))
    half = _MOST_TRIALS // 2
    last = set(range(len(values))) if len(values) <= _MOST_TRIALS else {*range(len(values) - half, len(values))}
    return [index for rank, index in enumerate(ranked) if rank < half or index in last]


def _key(row: Array) -> bytes:
    return np.round(row, 9).tobytes()
