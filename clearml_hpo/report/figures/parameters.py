"""Values by parameter: axes of parallel coordinates, slices, importances."""

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


def dimensions_of(trials: Sequence[Trial], distributions: Mapping[str, Distribution]) -> list[dict[str, Any]]:
    """An axis for each parameter, labelled with its whole name, as Plotly's parallel coordinates take it."""
    return [_dimension(name, trials, distributions.get(name)) for name in _names(trials)[:_MOST_AXES]]


def _names(trials: Sequence[Trial]) -> list[str]:
    return sorted({name for trial in trials for name in trial.params})


def _dimension(name: str, trials: Sequence[Trial], distribution: Distribution | None) -> dict[str, Any]:
    """One axis: numbers where they are, or their logarithm; texts spread evenly; inactive ones at the bottom."""
    if isinstance(distribution, Categorical):
        return _axis_of_texts(name, trials, distribution.choices)
    if all(is_number(trial.params[name]) for trial in trials if name in trial.params):
        return _axis_of_numbers(name, trials, is_log(distribution))
    return _axis_of_texts(name, trials)


def _axis_of_texts(name: str, trials: Sequence[Trial], choices: Sequence[Value] = ()) -> dict[str, Any]:
    """The baseline may have a value that is none of the choices: it comes after them."""
    texts = [as_text(trial.params[name]) if name in trial.params else INACTIVE for trial in trials]
    known = [as_text(choice) for choice in choices]
    others = sorted({*texts} - {INACTIVE, *known})
    ticks = [*({INACTIVE} & {*texts}), *known, *others]
    place = {text: index for index, text in enumerate(ticks)}
    at = [place[text] for text in texts]
    return {"label": name, "values": at, "tickvals": list(range(len(ticks))), "ticktext": ticks}


def _axis_of_numbers(name: str, trials: Sequence[Trial], log: bool) -> dict[str, Any]:
    """Without ticks of its own where Plotly's fit: nothing is inactive, and no logarithm is to be labelled."""
    values = [trial.params.get(name) for trial in trials]
    numbers = [value for value in values if isinstance(value, (int, float))]
    log, has_inactive = log and min(numbers) > 0, len(numbers) < len(values)
    if not log and not has_inactive:
        return {"label": name, "values": rounded(numbers)}
    scaled = [math.log10(number) for number in numbers] if log else numbers
    low, high = min(scaled), max(scaled)
    bottom = max(low - 0.15 * (high - low), -sys.float_info.max) if high > low else low - 0.15
    ticks, labels = _ticks(low, high, log)
    if has_inactive:
        ticks, labels = [bottom, *ticks], [INACTIVE, *labels]
    active = iter(scaled)
    at = [next(active) if name in trial.params else bottom for trial in trials]
    return {"label": name, "values": rounded(at), "tickvals": ticks, "ticktext": labels}


def _ticks(low: float, high: float, log: bool) -> tuple[list[float], list[str]]:
    """Places on an axis of numbers, or of their logarithms, and the numbers that are written there."""
    if log:
        decades = _decades(low, high)
        return decades, [f"{10**tick:.3g}" for tick in decades]
    ticks = [low, middle(low, high), high]
    return ticks, [f"{tick:.3g}" for tick in ticks]


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
    """The first value over each parameter, later trials in a stronger colour; the most important parameters first."""
    done = completed(trials)
    names = sorted(_names(done), key=lambda name: -(importances or {}).get(name, 0.0))[:_MOST_SLICES]
    if not done or not names:
        return ""
    shown = thinned(done, ranking(done, goal), _SLICE_POINTS)
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    labels = short_names(names)
    traces, axes = [], {}
    for index, name in enumerate(names):
        suffix = str(index + 1) if index else ""
        active = [trial for trial in shown if name in trial.params]
        kind = kind_of_axis([trial.params[name] for trial in active], distributions.get(name))
        axes[f"xaxis{suffix}"] = {"title": labels[name], "type": kind}
        axes[f"yaxis{suffix}"] = {} if index % columns else {"title": goal.objectives[0].metric}
        traces.append(_slice(name, active, kind, suffix))
    return figure(
        traces,
        title=f"{goal.objectives[0].metric} by parameter, later trials in a stronger colour",
        grid={"rows": rows, "columns": columns, "pattern": "independent"},
        height=120 + 240 * rows,
        showlegend=False,
        **axes,
    )


def kind_of_axis(values: Sequence[Value], distribution: Distribution | None) -> str:
    """How a parameter's axis is drawn: category, log or linear."""
    if isinstance(distribution, Categorical) or not all(map(is_number, values)):
        return "category"
    return "log" if is_log(distribution) else "linear"


def _slice(name: str, trials: Sequence[Trial], kind: str, suffix: str) -> dict[str, Any]:
    """The trials over one parameter, in the plot whose axes end in ``suffix``."""
    values = [trial.params[name] for trial in trials]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [as_text(value) for value in values] if kind == "category" else values,
        "y": [trial.value for trial in trials],
        "text": [f"trial {trial.number}" for trial in trials],
        "customdata": [trial.number for trial in trials],
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "marker": {
            "color": [trial.number for trial in trials],
            "colorscale": [[0, "#c7d7e8"], [1, "#08306b"]],
            "size": 5,
        },
    }


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
        title="which parameters the best trials depend on (PED-ANOVA)",
        xaxis={"title": "share", "range": [0, 1]},
        yaxis={"automargin": True},
        height=160 + 24 * len(names) * len(named),
    )
