"""Two parameters at a time, and how values are distributed: contour, rank, empirical distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import as_text
from clearml_hpo.report.figures.parameters import kind_of_axis
from clearml_hpo.report.figures.plot import (
    COLOURS,
    completed,
    describe,
    evenly,
    figure,
    fraction,
    rounded,
    short_names,
    thinned,
)
from clearml_hpo.search.space import Distribution

_GRID = 40
_NEAREST = 8
_POINTS = 400


def contour_figure(
    trials: Sequence[Trial], goal: Goal, distributions: Mapping[str, Distribution], names: tuple[str, str]
) -> str:
    """The first value over two parameters: between trials it is the mean of the eight nearest, weighted by distance.

    Args:
        names: the parameters of the two axes. A parameter of texts has a place for each of them.
    """
    done = [trial for trial in completed(trials) if all(name in trial.params for name in names)]
    if len(done) < _NEAREST // 2:
        return ""
    shown = thinned(done, ranking(done, goal), _POINTS)
    axes = [_Axis(name, shown, distributions.get(name)) for name in names]
    points = np.array([axis.places for axis in axes]).T
    values = np.array([trial.value for trial in shown], dtype=float)
    scale = max(1.0, float(np.abs(values).max()))  # sums of the largest numbers would be infinite
    steps = np.linspace(0.0, 1.0, _GRID)
    mesh = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    squares = ((mesh[:, None, :] - points[None, :, :]) ** 2).sum(axis=-1)
    nearest = np.argsort(squares, axis=1)[:, :_NEAREST]
    weights = 1.0 / (np.take_along_axis(squares, nearest, axis=1) + 1e-6)
    surface = scale * ((weights * (values / scale)[nearest]).sum(axis=1) / weights.sum(axis=1))
    surface_trace = {
        "type": "contour",
        "x": rounded(steps.tolist()),
        "y": rounded(steps.tolist()),
        "z": [rounded(row) for row in surface.reshape(_GRID, _GRID).tolist()],
        "colorscale": "Viridis",
        "reversescale": goal.objectives[0].direction == "maximize",  # the best darkest
        "contours": {"coloring": "heatmap"},
        "line": {"width": 0.4},
        "colorbar": {"title": goal.objectives[0].metric},
        "hoverinfo": "skip",
    }
    return figure(
        [
            surface_trace,
            _points(shown, axes, {"color": "#ffffff", "size": 5, "line": {"color": "#333333", "width": 1}}),
        ],
        title=f"{goal.objectives[0].metric} by two parameters; dots are trials",
        showlegend=False,
        **_layout(axes),
    )


def rank_figure(
    trials: Sequence[Trial], goal: Goal, distributions: Mapping[str, Distribution], names: tuple[str, str]
) -> str:
    """Trials over two parameters, coloured by their rank: outliers do not take all colours."""
    done = [trial for trial in completed(trials) if all(name in trial.params for name in names)]
    if not done:
        return ""
    ranked = ranking(done, goal)
    place = {trial.number: at for at, trial in enumerate(ranked, start=1)}
    shown = thinned(done, ranked)
    axes = [_Axis(name, shown, distributions.get(name)) for name in names]
    marker = {
        "color": [place[trial.number] for trial in shown],
        "colorscale": "Viridis",
        "size": 8,
        "showscale": True,
        "colorbar": {"title": "rank"},
    }
    return figure(
        [_points(shown, axes, marker)],
        title=f"rank by {goal.objectives[0].metric}; 1 is the best",
        showlegend=False,
        **_layout(axes),
    )


def edf_figure(trials: Sequence[Trial], goal: Goal, index: int = 0) -> str:
    """The share of completed trials whose value is no worse than that of the axis (empirical distribution)."""
    objective = goal.objectives[index]
    maximize = objective.direction == "maximize"
    values = sorted(((t.final_values or ())[index] for t in completed(trials)), reverse=maximize)
    if not values:
        return ""
    points = evenly([(value, (at + 1) / len(values)) for at, value in enumerate(values)])
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": objective.metric,
        "x": rounded(value for value, _ in points),
        "y": rounded(share for _, share in points),
        "line": {"shape": "hv", "color": COLOURS[TrialState.COMPLETED]},
    }
    return figure(
        [line],
        title=f"share of trials that are at least as good, by {objective.metric}",
        xaxis={"title": objective.metric, **({"autorange": "reversed"} if maximize else {})},
        yaxis={"title": "share of trials", "range": [0, 1.02]},
        showlegend=False,
    )


class _Axis:
    """One of the two axes, from 0 to 1.

    Attributes:
        places: where each trial stands.
        ticks: places, and what is written at them.
    """

    def __init__(self, name: str, trials: Sequence[Trial], distribution: Distribution | None) -> None:
        self.name = name
        values = [trial.params[name] for trial in trials]
        kind = kind_of_axis(values, distribution)
        if kind == "category":
            texts = list(dict.fromkeys([*map(as_text, getattr(distribution, "choices", ())), *map(as_text, values)]))
            last = max(1, len(texts) - 1)
            place = {text: at / last for at, text in enumerate(texts)}
            self.places = [place[as_text(value)] for value in values]
            self.ticks = [*((place[text], text) for text in texts)]
            return
        numbers = [float(value) for value in values if isinstance(value, (int, float))]  # the kind says all are
        is_log = kind == "log" and min(numbers) > 0
        scaled = [math.log(number) if is_log else number for number in numbers]
        low, high = min(scaled), max(scaled)
        self.places = [fraction(value, low, high) if high > low else 0.5 for value in scaled]
        marks = [low * (1 - at / 4) + high * (at / 4) for at in range(5)] if high > low else [low]
        self.ticks = [
            (fraction(mark, low, high) if high > low else 0.5, f"{math.exp(mark) if is_log else mark:.3g}")
            for mark in marks
        ]


def _points(trials: Sequence[Trial], axes: Sequence[_Axis], marker: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "trial",
        "x": rounded(axes[0].places),
        "y": rounded(axes[1].places),
        "text": [describe(trial) for trial in trials],
        "customdata": [trial.number for trial in trials],
        "hoverinfo": "text",
        "marker": marker,
    }


def _layout(axes: Sequence[_Axis]) -> dict[str, Any]:
    labels = short_names([axis.name for axis in axes])
    return {
        key: {
            "title": labels[axis.name],
            "tickvals": [place for place, _ in axis.ticks],
            "ticktext": [text for _, text in axis.ticks],
            "range": [-0.04, 1.04],
            "showgrid": False,
            "zeroline": False,
        }
        for key, axis in zip(("xaxis", "yaxis"), axes, strict=True)
    }
