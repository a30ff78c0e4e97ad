"""The Pareto front of a study with several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState, pareto_front
from clearml_hpo.report.figures.plot import BEST, COLOURS, aims, completed, describe, evenly, figure, thinned

_MARKERS: dict[str, dict[str, Any]] = {
    "dominated": {"color": COLOURS[TrialState.COMPLETED], "opacity": 0.5},
    "breaks a constraint": {"symbol": "x", "color": "#7f7f7f"},
    "Pareto front": {"color": BEST},
}


def front_figure(trials: Sequence[Trial], goal: Goal) -> str:
    """Two objectives: a plane; three: a space; more: parallel axes. Nothing for one, or before a trial completed."""
    done = completed(trials)
    if goal.is_single or not done:
        return ""
    front = pareto_front(done, goal)
    title = f"Pareto front: {len(front)} of {len(done)} trials, {aims(goal)}"
    if len(goal.objectives) > 3:
        return figure([_parallel(thinned(done, front), front, goal)], title=title)
    data = [_cloud(name, evenly(those), _MARKERS[name], goal) for name, those in _groups(done, front).items() if those]
    axes = {f"{axis}axis": {"title": o.metric} for axis, o in zip("xyz", goal.objectives, strict=False)}
    return figure(data, title=title, **(axes if len(axes) == 2 else {"scene": axes}))


def _groups(done: Sequence[Trial], front: Sequence[Trial]) -> dict[str, list[Trial]]:
    """The completed trials as they are told apart, the front by its values."""
    on_front = {trial.number for trial in front}
    off = [trial for trial in done if trial.number not in on_front]
    return {
        "dominated": [trial for trial in off if trial.is_feasible],
        "breaks a constraint": [trial for trial in off if not trial.is_feasible],
        "Pareto front": sorted(front, key=lambda trial: trial.final_values or ()),
    }


def _cloud(name: str, trials: Sequence[Trial], marker: dict[str, Any], goal: Goal) -> dict[str, Any]:
    flat = len(goal.objectives) == 2
    columns = zip(*(trial.final_values or () for trial in trials), strict=True)
    return {
        "type": "scatter" if flat else "scatter3d",
        "mode": "markers",
        "name": name,
        **dict(zip("xyz", map(list, columns), strict=False)),
        "text": [describe(trial) for trial in trials],
        "marker": marker if flat else {**marker, "size": 4},
    }


def _parallel(trials: Sequence[Trial], front: Sequence[Trial], goal: Goal) -> dict[str, Any]:
    """One axis per objective; the lines of the front stand out."""
    on_front = {trial.number for trial in front}
    values = [trial.final_values or () for trial in trials]
    return {
        "type": "parcoords",
        "line": {
            "color": [int(trial.number in on_front) for trial in trials],
            "colorscale": [[0, "#c7d7e8"], [1, BEST]],
            "cmin": 0,
            "cmax": 1,
        },
        "dimensions": [
            {"label": objective.metric, "values": [value[index] for value in values]}
            for index, objective in enumerate(goal.objectives)
        ],
    }
