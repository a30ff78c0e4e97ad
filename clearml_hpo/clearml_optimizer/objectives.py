"""ClearML's objectives as a goal."""

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
