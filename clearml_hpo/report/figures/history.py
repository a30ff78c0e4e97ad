"""Values over the course of a study, and over the course of its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.not_finite import finite_points
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.report.figures.plot import (
    BEST,
    COLOURS,
    MOST_POINTS,
    SERIES,
    by_state,
    completed,
    describe,
    evenly,
    figure,
    rounded,
    thinned,
)
from clearml_hpo.report.hypervolume import hypervolume_history

_MOST_STEPS = 100
_MOST_OBJECTIVES = 4  # the hypervolume of more takes too long


def history_figure(trials: Sequence[Trial], goal: Goal, index: int = 0) -> str:
    """Values of one objective by trial number, and the best so far; below them the trials without a value."""
    objective = goal.objectives[index]
    done = completed(trials)
    if not done:
        return ""
    feasible = [trial for trial in done if trial.is_feasible]
    broken = [trial for trial in done if not trial.is_feasible]
    best = sorted(feasible, key=lambda t: _value(t, index), reverse=objective.direction == "maximize")
    traces = [
        _points("trial", thinned(feasible, best), index, {"color": COLOURS[TrialState.COMPLETED]}),
        _best_so_far(feasible, objective, index, last=max(trial.number for trial in trials)),
    ]
    if broken:
        marker = {"symbol": "x-open", "color": COLOURS[TrialState.COMPLETED]}
        traces.append(_points("breaks a constraint", evenly(broken), index, marker))
    return figure(
        [*traces, *_without_value(trials)],
        title=f"{objective.metric} ({objective.direction})",
        xaxis={"title": "trial"},
        yaxis={"title": objective.metric, "domain": [0.14, 1]},
        yaxis2={"domain": [0, 0.08], "range": [-1, 1], "showticklabels": False, "showgrid": False, "zeroline": False},
    )


def _value(trial: Trial, index: int) -> float:
    return (trial.final_values or ())[index]


def _points(name: str, trials: Sequence[Trial], index: int, marker: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [trial.number for trial in trials],
        "y": [_value(trial, index) for trial in trials],
        "text": [describe(trial) for trial in trials],
        "customdata": [trial.number for trial in trials],
        "marker": marker,
    }


def _best_so_far(trials: Sequence[Trial], objective: Objective, index: int, last: int) -> dict[str, Any]:
    """A step at each trial that was better than all before it."""
    numbers: list[int] = []
    values: list[float] = []
    for trial in trials:
        if not values or objective.better(_value(trial, index), values[-1]):
            numbers.append(trial.number)
            values.append(_value(trial, index))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [*numbers, *([last] if numbers else [])],
        "y": [*values, *values[-1:]],
        "line": {"shape": "hv", "color": BEST},
    }


def _without_value(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A row of marks for each end without a value."""
    without = by_state(trial for trial in trials if trial.final_values is None and not trial.state.is_live)
    share = MOST_POINTS // max(1, len(without))
    return [_ends(state, evenly(those, share)) for state, those in without.items()]


def _ends(state: TrialState, trials: Sequence[Trial]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state.value,
        "x": [trial.number for trial in trials],
        "y": [0] * len(trials),
        "text": [f"trial {trial.number}: {trial.reason or state.value}"[:200] for trial in trials],
        "customdata": [trial.number for trial in trials],
        "yaxis": "y2",
        "marker": {"symbol": "line-ns-open", "size": 10, "color": COLOURS[state]},
    }


def hypervolume_figure(trials: Sequence[Trial], goal: Goal) -> str:
    """The hypervolume that the Pareto front covers, by trial; for two to four objectives."""
    feasible = [trial for trial in completed(trials) if trial.is_feasible]
    if not feasible or not 1 < len(goal.objectives) <= _MOST_OBJECTIVES:
        return ""
    volumes = hypervolume_history(feasible, goal)
    rises = [i for i, volume in enumerate(volumes) if i in (0, len(volumes) - 1) or volume > volumes[i - 1]]
    shown = evenly(rises)
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "hypervolume",
        "x": [feasible[i].number for i in shown],
        "y": [volumes[i] for i in shown],
        "line": {"shape": "hv", "color": BEST},
    }
    return figure(
        [line],
        title="hypervolume of the Pareto front (1: the best seen of every objective at once)",
        xaxis={"title": "trial"},
        yaxis={"title": "hypervolume", "rangemode": "tozero"},
    )


def intermediate_figure(
    trials: Sequence[Trial], objective: Objective, histories: Mapping[str, Sequence[tuple[int, float]]]
) -> str:
    """One line per trial over its iterations, coloured by how it ended; ``histories`` by task."""
    lines = []
    named: set[TrialState] = set()
    for trial in trials:
        points = _curve_of(trial, objective.metric, histories)
        if not points:
            continue
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(points) == 1 else "lines",
                "name": trial.state.value,
                "legendgroup": trial.state.value,
                "showlegend": trial.state not in named,
                "x": [step for step, _ in points],
                "y": [value for _, value in points],
                "text": f"trial {trial.number}",
                "line": {"color": COLOURS[trial.state], "width": 1},
            }
        )
        named.add(trial.state)
    if not lines:
        return ""
    return figure(
        lines,
        title=f"{objective.metric} of {len(lines)} trials by iteration",
        xaxis={"title": "iteration"},
        yaxis={"title": objective.metric},
    )


def curves_figure(
    trials: Sequence[Trial], metric: str, histories: Mapping[str, Sequence[tuple[int, float]]], *, most: int = 12
) -> str:
    """One scalar, ``title/series``, of a few trials by iteration, each in a colour; ``histories`` by task.

    Args:
        most: trials that are drawn, the first ones.
    """
    curves = {trial.number: _curve_of(trial, metric, histories) for trial in trials}
    drawn = [(number, points) for number, points in curves.items() if points][:most]
    if not drawn:
        return ""
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(points) == 1 else "lines",
            "name": f"trial {number}",
            "x": [step for step, _ in points],
            "y": rounded(value for _, value in points),
            "line": {"color": SERIES[at % len(SERIES)], "dash": "solid" if at < len(SERIES) else "dash", "width": 1.5},
        }
        for at, (number, points) in enumerate(drawn)
    ]
    return figure(lines, title=f"{metric} by iteration", xaxis={"title": "iteration"}, yaxis={"title": metric})


def _curve_of(
    trial: Trial, metric: str, histories: Mapping[str, Sequence[tuple[int, float]]]
) -> Sequence[tuple[int, float]]:
    """What a trial reported of a scalar and counts, thinned."""
    curve = finite_points(histories.get(trial.task_id, ()), metric, trial.not_finite)
    return evenly([(step, value) for step, value in curve if math.isfinite(value)], _MOST_STEPS)
