"""Parallel coordinates as ordinary lines: Plotly's own kind needs WebGL, which neither paper nor every browser has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial, pareto_front
from clearml_hpo.report.figures.parameters import dimensions_of
from clearml_hpo.report.figures.plot import BEST, completed, figure, fraction, middle, rounded, short_names, thinned
from clearml_hpo.search.space import Distribution

_MOST_LINES = 400


class _Band(NamedTuple):
    """Lines that look alike: those of the best ``share`` of the trials that no smaller band has."""

    name: str
    share: float
    colour: str
    opacity: float
    width: float = 1.3


_BANDS = (  # the best drawn last
    _Band("the other half", 1.0, "#a9b4c2", 0.35),
    _Band("the better half", 0.5, "#56b4e9", 0.5),
    _Band("the best tenth", 0.1, "#0072b2", 0.85),
    _Band("the best", 0.0, BEST, 1.0, width=3),
)
_FRONT = _BANDS[-1]._replace(name="Pareto front", width=1.3)
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
    share = {trial.number: place / len(trials) for place, trial in enumerate(ranking(trials, goal), start=1)}
    share |= {trial.number: 0.0 for trial in pareto_front(trials, goal)}
    bands = _BANDS if goal.is_single else (*_BANDS[:-1], _FRONT)
    lines: dict[_Band, list[Sequence[float]]] = {band: [] for band in bands}
    for trial, line in zip(trials, zip(*columns, strict=True), strict=True):
        lines[next(band for band in reversed(bands) if share[trial.number] <= band.share)].append(line)
    return [_trace(band, lines[band]) for band in bands if lines[band]]


def _trace(band: _Band, lines: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": band.name,
        "x": [x for line in lines for x in [*range(len(line)), None]],
        "y": [y for line in lines for y in [*line, None]],
        "line": {"color": band.colour, "width": band.width},
        "opacity": band.opacity,
        "hoverinfo": "skip",
    }
