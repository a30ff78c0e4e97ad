"""Plotly figures of a study, as the JSON that ClearML stores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from clearml_hpo.objective import Objective
from clearml_hpo.search_space import as_text
from clearml_hpo.trial import Trial, TrialState


def history_figure(trials: Sequence[Trial], objective: Objective) -> str:
    """Value by trial number, and the best so far as a line."""
    done = [t for t in trials if t.state is TrialState.COMPLETED and t.value is not None]
    best: list[float] = []
    for trial in done:
        value = float(trial.value or 0.0)
        best.append(value if not best or objective.better(value, best[-1]) else best[-1])
    numbers = [trial.number for trial in done]
    return _figure(
        [
            {
                "type": "scatter",
                "mode": "markers",
                "name": "trial",
                "x": numbers,
                "y": [trial.value for trial in done],
                "text": [_describe(trial) for trial in done],
            },
            {"type": "scatter", "mode": "lines", "name": "best so far", "x": numbers, "y": best},
        ],
        title=f"{objective.metric} ({objective.direction})",
        xaxis={"title": "trial"},
        yaxis={"title": objective.metric},
    )


def table_figure(trials: Sequence[Trial], objective: Objective, url_of: Callable[[Trial], str]) -> str:
    """All trials, the best first, each linked to its task."""
    ranked = ranking(trials, objective)
    names = sorted({name for trial in trials for name in trial.params})
    columns: list[tuple[str, list[str]]] = [
        ("trial", [f'<a href="{url_of(trial)}">{trial.number}</a>' for trial in ranked]),
        (objective.metric, ["" if t.value is None else f"{t.value:.6g}" for t in ranked]),
        ("state", [trial.state.value for trial in ranked]),
        *((name, [as_text(t.params.get(name)) for t in ranked]) for name in names),
    ]
    table = {
        "type": "table",
        "header": {"values": [name for name, _ in columns]},
        "cells": {"values": [cells for _, cells in columns]},
    }
    return _figure([table], title=f"{objective.metric} ({objective.direction})")


def parallel_figure(trials: Sequence[Trial], objective: Objective) -> str:
    """Parallel coordinates of the completed trials, coloured by value."""
    done = [t for t in trials if t.state is TrialState.COMPLETED and t.value is not None]
    names = sorted({name for trial in done for name in trial.params})
    values = [trial.value for trial in done]
    dimensions = [_dimension(name, [trial.params.get(name) for trial in done]) for name in names]
    return _figure(
        [
            {
                "type": "parcoords",
                "line": {"color": values, "colorscale": "Viridis", "showscale": True},
                "dimensions": [*dimensions, {"label": objective.metric, "values": values}],
            }
        ],
        title=f"{objective.metric} ({objective.direction})",
    )


def ranking(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    """Completed trials from best to worst, then the others by number."""
    sign = 1 if objective.direction == "minimize" else -1

    def key(trial: Trial) -> tuple[bool, float, int]:
        counts = trial.state is TrialState.COMPLETED and trial.value is not None
        return (not counts, sign * (trial.value or 0.0) if counts else 0.0, trial.number)

    return sorted(trials, key=key)


def _dimension(name: str, values: list[Any]) -> dict[str, Any]:
    """One axis; texts are spread over it in their order."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return {"label": name, "values": values}
    texts = sorted({as_text(value) for value in values})
    return {
        "label": name,
        "values": [texts.index(as_text(value)) for value in values],
        "tickvals": list(range(len(texts))),
        "ticktext": texts,
    }


def _describe(trial: Trial) -> str:
    return "<br>".join(f"{name}={as_text(value)}" for name, value in sorted(trial.params.items()))


def _figure(data: list[dict[str, Any]], **layout: Any) -> str:
    return json.dumps({"data": data, "layout": layout})
