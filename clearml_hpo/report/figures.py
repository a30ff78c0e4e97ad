"""Plotly figures of a study, as the JSON that ClearML stores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from clearml_hpo.objective import Goal
from clearml_hpo.search_space import as_text
from clearml_hpo.trial import Trial, pareto_front


def history_figure(trials: Sequence[Trial], goal: Goal) -> str:
    """Value by trial number, and the best so far as a line."""
    objective = goal.objectives[0]
    done = [t for t in trials if t.final_values is not None]
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


def table_figure(trials: Sequence[Trial], goal: Goal, url_of: Callable[[Trial], str]) -> str:
    """All trials, the best first, each linked to its task."""
    ranked = ranking(trials, goal)
    names = sorted({name for trial in trials for name in trial.params})
    columns: list[tuple[str, list[str]]] = [
        ("trial", [f'<a href="{url_of(trial)}">{trial.number}</a>' for trial in ranked]),
        *((o.metric, [_number(t.values[i : i + 1]) for t in ranked]) for i, o in enumerate(goal.objectives)),
        ("state", [trial.state.value for trial in ranked]),
        *((name, [as_text(t.params.get(name)) for t in ranked]) for name in names),
    ]
    table = {
        "type": "table",
        "header": {"values": [name for name, _ in columns]},
        "cells": {"values": [cells for _, cells in columns]},
    }
    return _figure([table], title=", ".join(f"{o.metric} ({o.direction})" for o in goal.objectives))


def parallel_figure(trials: Sequence[Trial], goal: Goal) -> str:
    """Parallel coordinates of the completed trials, coloured by value."""
    objective = goal.objectives[0]
    done = [t for t in trials if t.final_values is not None]
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


def ranking(trials: Sequence[Trial], goal: Goal) -> list[Trial]:
    """Completed trials from best to worst, then the others by number.

    With several objectives the Pareto front comes first; beyond that the first objective counts. Trials that break a
    constraint come after those that keep all.
    """
    sign = 1 if goal.objectives[0].direction == "minimize" else -1
    front = {trial.number for trial in pareto_front(trials, goal)}

    def key(trial: Trial) -> tuple[bool, bool, bool, float, int]:
        values = trial.final_values
        first = sign * values[0] if values else 0.0
        return (values is None, not trial.is_feasible, trial.number not in front, first, trial.number)

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


def _number(values: Sequence[float | None]) -> str:
    """The first of them, if there is one."""
    return "" if not values or values[0] is None else f"{values[0]:.6g}"


def _describe(trial: Trial) -> str:
    return "<br>".join(f"{name}={as_text(value)}" for name, value in sorted(trial.params.items()))


def _figure(data: list[dict[str, Any]], **layout: Any) -> str:
    return json.dumps({"data": data, "layout": layout})
