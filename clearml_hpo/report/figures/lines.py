"""Parallel coordinates as ordinary lines: Plotly's own kind needs WebGL, which neither paper nor every browser has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial, pareto_front
from clearml_hpo.report.figures.parameters import dimensions_of
from clearml_hpo.report.figures.plot import completed, figure, fraction, middle, rounded, short_names, thinned
from clearml_hpo.search.space import Distribution

_MOST_LINES = 400
_BANDS = (  # share of the trials, colour; the best drawn last
    ("the other half", 1.0, "#a9b4c2", 0.35),
    ("the better half", 0.5, "#5b9bd5", 0.5),
    ("the best tenth", 0.1, "#8e44ad", 0.85),
    ("the best", 0.0, "#d62728", 1.0),
)
_HEIGHT_PX = 420
_LONGEST = 16  # letters of what is written at an axis


def parallel_lines_figure(trials: Sequence[Trial], goal: Goal, distributions: Mapping[str, Distribution]) -> str:
    """One axis for each parameter and objective, one line for each completed trial; better ones stand out."""
    done = completed(trials)
    if not done:
        return ""
    shown = thinned(done, ranking(done, goal), _MOST_LINES)
    dimensions = [*dimensions_of(shown, distributions), *_objectives(shown, goal)]
    places = [_places(dimension) for dimension in dimensions]
    labels = short_names([dimension["label"] for dimension in dimensions[: -len(goal.objectives)]])
    at = list(range(len(dimensions)))
    return figure(
        _bands(shown, goal, [line for line, _ in places]),
        title="a line for each trial",
        xaxis={
            "tickvals": at,
            "ticktext": [labels.get(dimension["label"], dimension["label"]) for dimension in dimensions],
            "showgrid": True,
            "range": [-0.2, len(at) - 0.8 + 0.5],
        },
        yaxis={"visible": False, "range": [-0.06, 1.06]},
        annotations=[
            {
                "x": x,
                "y": y,
                "text": text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…",
                "showarrow": False,
                "xanchor": "left",
                "font": {"size": 10},
            }
            for x, (_, ticks) in enumerate(places)
            for y, text in ticks
        ],
        height=_HEIGHT_PX,
    )


def _objectives(trials: Sequence[Trial], goal: Goal) -> list[dict[str, Any]]:
    return [
        {"label": objective.metric, "values": rounded((trial.final_values or ())[index] for trial in trials)}
        for index, objective in enumerate(goal.objectives)
    ]


def _places(dimension: Mapping[str, Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each trial stands on an axis, from 0 to 1, and what is written at it."""
    values = dimension["values"]
    low, high = min(values), max(values)
    tick_values = dimension.get("tickvals", [low, middle(low, high), high])
    texts = dimension.get("ticktext") or [f"{value:.4g}" for value in tick_values]
    low, high = min([low, *tick_values]), max([high, *tick_values])

    def place(value: float) -> float:
        return round(fraction(value, low, high), 4) if high > low else 0.5

    return [place(value) for value in values], list(
        {place(v): t for v, t in zip(tick_values, texts, strict=True)}.items()
    )


def _bands(trials: Sequence[Trial], goal: Goal, columns: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """A trace for each band of merit, its lines one after another with gaps between them."""
    rank = {trial.number: place for place, trial in enumerate(ranking(trials, goal))}
    best = {trial.number for trial in pareto_front(trials, goal)}
    lines: dict[str, list[list[float]]] = {name: [] for name, *_ in _BANDS}
    for index, trial in enumerate(trials):
        share = 0.0 if trial.number in best else (rank[trial.number] + 1) / len(trials)
        name = min((band for band in _BANDS if share <= band[1]), key=lambda band: band[1])[0]
        lines[name].append([column[index] for column in columns])
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name if goal.is_single or name != "the best" else "Pareto front",
            "x": [x for _ in lines[name] for x in [*range(len(columns)), None]],
            "y": [y for line in lines[name] for y in [*line, None]],
            "line": {"color": colour, "width": 3 if share == 0 and goal.is_single else 1.3},
            "opacity": opacity,
            "hoverinfo": "skip",
        }
        for name, share, colour, opacity in _BANDS
        if lines[name]
    ]
