"""ClearML's objectives as ours, and back."""

from __future__ import annotations

from clearml.automation.optimization import MultiObjective
from clearml.automation.optimization import Objective as ClearmlObjective

from clearml_hpo.errors import InputError
from clearml_hpo.objective import Objective


def objective_of(metric: ClearmlObjective | MultiObjective) -> Objective:
    """The same objective as a value of ours; raises InputError for several."""
    objectives = getattr(metric, "objectives", [metric])
    if len(objectives) != 1:
        raise InputError("several objectives are not supported yet; give one title, series and sign")
    only = objectives[0]
    return Objective(
        only.title,
        only.series,
        direction="minimize" if only.sign < 0 else "maximize",
        reading="best" if only.extremum else "last",
    )


def sign_of(objective: Objective) -> str:
    """ClearML's ``objective_metric_sign``: min, max, min_global or max_global."""
    order = "min" if objective.direction == "minimize" else "max"
    return f"{order}_global" if objective.reading == "best" else order


def clearml_objective(objective: Objective) -> MultiObjective:
    """As ``HyperParameterOptimizer`` makes it from title, series and sign."""
    return MultiObjective(
        title=[objective.title],
        series=[objective.series],
        order=["min" if objective.direction == "minimize" else "max"],
        extremum=[objective.reading == "best"],
    )
