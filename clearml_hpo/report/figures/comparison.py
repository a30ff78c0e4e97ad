"""Groups of trials beside one another: models of one study, or several studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clearml_hpo.core.goal import Objective
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import as_text
from clearml_hpo.report.figures.plot import completed, describe, evenly, figure
from clearml_hpo.search.space import Categorical, SearchSpace

_MODEL_NAMES = frozenset(
    ("model", "estimator", "algorithm", "classifier", "regressor", "learner", "architecture", "booster", "backbone")
)
_MOST_GROUPS = 40
_POINTS = 200
_ROW_PX = 44


def model_parameter(space: SearchSpace) -> str | None:
    """The parameter that says which model a trial trains.

    One that is called so (``model``, ``model_name``, ``estimator``, ...); else the one on whose choices most other
    parameters depend; None if there is neither.
    """
    choices = [name for name, kind in space.distributions.items() if isinstance(kind, Categorical)]
    named = [name for name in choices if _MODEL_NAMES & set(name.rpartition("/")[2].lower().split("_"))]
    if named:
        return named[0]
    depend = {name: sum(name in condition for condition in space.conditions.values()) for name in choices}
    most = max(depend.values(), default=0)
    return next((name for name in choices if most and depend[name] == most), None)


def by_model(trials: Sequence[Trial], parameter: str) -> dict[str, list[Trial]]:
    """The trials by their value of this parameter; those in which it is not active are left out."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if parameter in trial.params:
            groups.setdefault(as_text(trial.params[parameter]), []).append(trial)
    return groups


def comparison_figure(groups: Mapping[str, Sequence[Trial]], objective: Objective, index: int = 0) -> str:
    """A box and its points for each group with completed trials, the one with the best value on top."""
    done = {name: completed(trials) for name, trials in groups.items() if completed(trials)}
    sign = 1 if objective.direction == "minimize" else -1
    best = {name: min(sign * _value(trial, index) for trial in trials) for name, trials in done.items()}
    names = sorted(done, key=lambda name: best[name])[:_MOST_GROUPS]
    if len(names) < 2:
        return ""
    traces = []
    for name in reversed(names):  # the first is drawn at the bottom
        shown = evenly(done[name], _POINTS)
        traces.append(
            {
                "type": "box",
                "orientation": "h",
                "name": name,
                "x": [_value(trial, index) for trial in shown],
                "text": [describe(trial) for trial in shown],
                "boxpoints": "all",
                "jitter": 0.5,
                "pointpos": 0,
                "marker": {"size": 4, "opacity": 0.6},
                "line": {"width": 1},
            }
        )
    return figure(
        traces,
        title=f"{objective.metric} ({objective.direction})",
        xaxis={"title": objective.metric},
        yaxis={"type": "category", "automargin": True},
        showlegend=False,
        height=120 + _ROW_PX * len(names),
    )


def _value(trial: Trial, index: int) -> float:
    return (trial.final_values or ())[index]
