"""ClearML's objectives as ours, and back."""

from __future__ import annotations

from clearml.automation.optimization import MultiObjective
from clearml.automation.optimization import Objective as ClearmlObjective

from clearml_hpo.core.goal import Goal, Objective


def goal_of(metric: ClearmlObjective | MultiObjective) -> Goal:
    """The same objectives as values of ours."""
    objectives = getattr(metric, "objectives", [metric])
    return Goal(
        tuple(
            Objective(
                given.title,
                given.series,
                direction="minimize" if given.sign < 0 else "maximize",
                reading="best" if given.extremum else "last",
            )
            for given in objectives
        )
    )


def sign_of(objective: Objective) -> str:
    """ClearML's ``objective_metric_sign``: min, max, min_global or max_global."""
    order = "min" if objective.direction == "minimize" else "max"
    return f"{order}_global" if objective.reading == "best" else order


def clearml_objective(goal: Goal) -> MultiObjective:
    """As ``HyperParameterOptimizer`` makes it from titles, series and signs."""
    return MultiObjective(
        title=[objective.title for objective in goal.objectives],
        series=[objective.series for objective in goal.objectives],
        order=["min" if objective.direction == "minimize" else "max" for objective in goal.objectives],
        extremum=[objective.reading == "best" for objective in goal.objectives],
    )
