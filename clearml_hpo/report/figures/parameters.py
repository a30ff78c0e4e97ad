"""Values by parameter: parallel coordinates, slices, importances."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Value, as_text
from clearml_hpo.report.figures.plot import (
    INACTIVE,
    completed,
    figure,
    is_log,
    is_number,
    middle,
    rounded,
    short_names,
    thinned,
)
from clearml_hpo.search.space import Categorical, Distribution

_MOST_AXES = 30
_MOST_SLICES = 16
_SLICE_POINTS = 300
_COLUMNS = 4


def parallel_figure(trials: Sequence[Trial], goal: Goal, distributions: Mapping[str, Distribution]) -> str:
    """Parallel coordinates of the completed trials, coloured by the first value, the best darkest."""
    done = completed(trials)
    if not done:
        return ""
    shown = thinned(done, ranking(done, goal))
    dimensions = dimensions_of(shown, distributions)
    labels = short_names([dimension["label"] for dimension in dimensions])
    dimensions = [{**dimension, "label": labels[dimension["label"]]} for dimension in dimensions]
    values = [
        {"label": objective.metric, "values": rounded((trial.final_values or ())[index] for trial in shown)}
        for index, objective in enumerate(goal.objectives)
    ]
    line = {
        "color": values[0]["values"],
        "colorscale": "Viridis",
        "reversescale": goal.objectives[0].direction == "maximize",
        "showscale": True,
    }
    return figure(
        [{"type": "parcoords", "line": line, "dimensions": [*dimensions, *values]}],
        title=f"{goal.objectives[0].metric} ({goal.objectives[0].direction})",
    )


def dimensions_of(trials: Sequence[Trial], distributions: Mapping[str, Distribution]) -> list[dict[str, Any]]:
    """An axis for each parameter, labelled with its whole name, as Plotly's parallel coordinates take it."""
    names = _names(trials)[:_MOST_AXES]
    return [_dimension(name, [t.params.get(name) for t in trials], distributions.get(name), trials) for name in names]


def _names(trials: Sequence[Trial]) -> list[str]:
    return sorted({name for trial in trials for name in trial.params})


def _dimension(
    name: str, values: Sequence[Value], distribution: Distribution | None, trials: Sequence[Trial]
) -> dict[str, Any]:
    """One axis: numbers where they are, or their logarithm; texts spread evenly; inactive ones at the bottom.

    The baseline may have a value that is none of the choices: it comes after them.
    """
    active = [value for value, trial in zip(values, trials, strict=True) if name in trial.params]
    if isinstance(distribution, Categorical) or not all(map(is_number, active)):
        choices = [as_text(choice) for choice in distribution.choices] if isinstance(distribution, Categorical) else []
        others = sorted({as_text(value) for value in active} - {*choices})
        ticks = [INACTIVE] * (len(active) < len(values)) + choices + others
        place = {text: index for index, text in enumerate(ticks)}
        at = [place[as_text(v) if name in t.params else INACTIVE] for v, t in zip(values, trials, strict=True)]
        return {"label": name, "values": at, "tickvals": list(range(len(ticks))), "ticktext": ticks}
    numbers = [value for value in active if isinstance(value, (int, float))]
    log = is_log(distribution) and min(numbers) > 0
    scaled = [math.log10(number) for number in numbers] if log else numbers
    if not log and len(active) == len(values):
        return {"label": name, "values": rounded(numbers)}
    low, high = min(scaled), max(scaled)
    bottom = max(low - 0.15 * (high - low), -sys.float_info.max) if high > low else low - 0.15
    ticks_at = _decades(low, high) if log else [low, middle(low, high), high]
    labels = [f"{10**tick:.3g}" if log else f"{tick:.3g}" for tick in ticks_at]
    rest = iter(scaled)
    at_numbers = [next(rest) if name in trial.params else bottom for trial in trials]
    if len(active) < len(values):
        ticks_at, labels = [bottom, *ticks_at], [INACTIVE, *labels]
    return {"label": name, "values": rounded(at_numbers), "tickvals": ticks_at, "ticktext": labels}


def _decades(low: float, high: float) -> list[float]:
    """The ends, and the powers of ten between them."""
    between = [float(d) for d in range(math.ceil(low), math.floor(high) + 1) if min(d - low, high - d) > 0.1]
    return sorted({low, *between[:: max(1, len(between) // 6)], high})


def slice_figure(
    trials: Sequence[Trial],
    goal: Goal,
    distributions: Mapping[str, Distribution],
    importances: Mapping[str, float] | None = None,
) -> str:
    """The first value over each parameter, later trials darker; the most important parameters first."""
    done = completed(trials)
    names = sorted(_names(done), key=lambda name: -(importances or {}).get(name, 0.0))[:_MOST_SLICES]
    if not done or not names:
        return ""
    shown = thinned(done, ranking(done, goal), _SLICE_POINTS)
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    labels = short_names(names)
    traces, axes = [], {}
    for index, name in enumerate(names, start=1):
        suffix = "" if index == 1 else str(index)
        active = [trial for trial in shown if name in trial.params]
        values = [trial.params[name] for trial in active]
        as_numbers = all(map(is_number, values)) and not isinstance(distributions.get(name), Categorical)
        kind = "category" if not as_numbers else "log" if is_log(distributions.get(name)) else "linear"
        axes[f"xaxis{suffix}"] = {"title": labels[name], "type": kind}
        axes[f"yaxis{suffix}"] = {"title": goal.objectives[0].metric} if index % columns == 1 or columns == 1 else {}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": values if as_numbers else [as_text(value) for value in values],
                "y": [trial.value for trial in active],
                "text": [f"trial {trial.number}" for trial in active],
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "marker": {
                    "color": [trial.number for trial in active],
                    "colorscale": [[0, "#c7d7e8"], [1, "#08306b"]],
                    "size": 5,
                },
            }
        )
    return figure(
        traces,
        title=f"{goal.objectives[0].metric} by parameter, later trials darker",
        grid={"rows": rows, "columns": columns, "pattern": "independent"},
        height=120 + 240 * rows,
        showlegend=False,
        **axes,
    )


def importance_figure(importances: Sequence[Mapping[str, float]], goal: Goal) -> str:
    """Bars by parameter, the longest on top; one mapping, name to share, for each objective."""
    named = [(o.metric, shares) for o, shares in zip(goal.objectives, importances, strict=False) if shares]
    if not named:
        return ""
    names = sorted(named[0][1], key=lambda name: named[0][1][name])[-_MOST_AXES:]
    labels = short_names(names)
    return figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "name": metric,
                "x": [round(shares.get(name, 0.0), 4) for name in names],
                "y": [labels[name] for name in names],
            }
            for metric, shares in named
        ],
        title="which parameters the best tenth of the trials depends on (PED-ANOVA)",
        xaxis={"title": "share", "range": [0, 1]},
        yaxis={"automargin": True},
        height=160 + 24 * len(names) * len(named),
    )
