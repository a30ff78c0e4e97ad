"""What the figures share: colours, axes, thinning, a trial in words."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Value, as_text
from clearml_hpo.search.space import Distribution, Float, Int

Item = TypeVar("Item")

BEST = "#d55e00"
# People who do not see all colours tell these apart: Okabe and Ito, "Color Universal Design", 2008, and darker shades.
COLOURS = {
    TrialState.QUEUED: "#d0d0d0",
    TrialState.RUNNING: "#56b4e9",
    TrialState.COMPLETED: "#0072b2",
    TrialState.PRUNED: "#cc79a7",
    TrialState.PAUSED: "#88ccee",
    TrialState.FAILED: "#d55e00",
    TrialState.KILLED: "#8c3b00",
    TrialState.LOST: "#5c4a1e",
    TrialState.NO_OBJECTIVE: "#e69f00",
    TrialState.NOT_FINITE: "#f0e442",
    TrialState.ABORTED: "#009e73",
    TrialState.STOPPED: "#7f7f7f",
}
# Of things that have no order, such as studies; the first ones differ most.
SERIES = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#5c4a1e", "#56b4e9", "#7f7f7f", "#f0e442", "#8c3b00"),
)
INACTIVE = "inactive"
MOST_POINTS = 1_000
_MOST_PARAMS = 8


def figure(data: Sequence[dict[str, Any]], **layout: Any) -> str:
    """The JSON text of a figure; values that are not finite may not be in it.

    Titles are plain texts: one that is an object leaves the whole plots tab of ClearML's web app blank. Newer Plotlys,
    such as that of our own pages, want objects; these pages make them.
    """
    return json.dumps({"data": list(data), "layout": layout}, allow_nan=False, separators=(",", ":"))


def by_state(trials: Iterable[Trial]) -> dict[TrialState, list[Trial]]:
    """The trials of each state, in the order of the states; states of none are left out."""
    found: dict[TrialState, list[Trial]] = {state: [] for state in TrialState}
    for trial in trials:
        found[trial.state].append(trial)
    return {state: those for state, those in found.items() if those}


def completed(trials: Sequence[Trial]) -> list[Trial]:
    """Those with all values."""
    return [trial for trial in trials if trial.final_values is not None]


def evenly(items: Sequence[Item], most: int = MOST_POINTS) -> list[Item]:
    """At most ``most`` of the items, spread evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    last = len(items) - 1
    return [items[round(index * last / (most - 1))] for index in range(most)]


def thinned(trials: Sequence[Trial], best: Sequence[Trial], most: int = MOST_POINTS) -> list[Trial]:
    """At most ``most`` trials in their order: a quarter are the first of ``best``, the others spread evenly."""
    if len(trials) <= most:
        return list(trials)
    top = {trial.number for trial in best[: most // 4]}
    spread = {t.number for t in evenly([trial for trial in trials if trial.number not in top], most - len(top))}
    return [trial for trial in trials if trial.number in top or trial.number in spread]


def aims(goal: Goal) -> str:
    """``validation/loss (minimize), latency/p95 (minimize)``."""
    return ", ".join(f"{objective.metric} ({objective.direction})" for objective in goal.objectives)


def describe(trial: Trial) -> str:
    """A trial's number and parameters, for the tooltip of a point."""
    lines = [f"{name}={short(value)}" for name, value in sorted(trial.params.items())]
    more = [f"and {len(lines) - _MOST_PARAMS} more"] if len(lines) > _MOST_PARAMS else []
    return "<br>".join([f"trial {trial.number}", *lines[:_MOST_PARAMS], *more])


def short(value: Value) -> str:
    """A parameter's value, numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Names without their section, where that is not ambiguous."""
    last = {name: name.rpartition("/")[2] for name in names}
    ambiguous = [short for short, times in Counter(last.values()).items() if times > 1]
    return {name: name if short in ambiguous else short for name, short in last.items()}


def rounded(values: Iterable[float]) -> list[float]:
    """To six digits, which is more than a screen shows; a whole number stays one."""
    return [value if isinstance(value, int) else float(f"{value:.6g}") for value in values]


def is_number(value: Value) -> bool:
    """Whether an axis can show it as a number: True, infinity and a whole number beyond a float are shown as texts."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def fraction(value: float, low: float, high: float) -> float:
    """Where ``value`` lies between ``low`` (0) and ``high`` (1), however far these are apart."""
    if math.isinf(high - low):
        value, low, high = value / 2, low / 2, high / 2
    return (value - low) / (high - low)


def middle(low: float, high: float) -> float:
    """Half way between two numbers, whose sum may be no float."""
    return low / 2 + high / 2


def is_log(distribution: Distribution | None) -> bool:
    """Whether the parameter is drawn by its logarithm."""
    return isinstance(distribution, (Int, Float)) and distribution.log
