"""Trials in the order of their merit."""

from __future__ import annotations

from collections.abc import Sequence

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, pareto_front


def ranking(trials: Sequence[Trial], goal: Goal) -> list[Trial]:
    """Completed trials from best to worst, then the others by number.

    With several objectives the Pareto front comes first; beyond that the first objective counts. Trials that break a
    constraint come after those that keep all.
    """
    sign = 1 if goal.objectives[0].direction == "minimize" else -1
    front = {trial.task_id for trial in pareto_front(trials, goal)}

    def key(trial: Trial) -> tuple[bool, bool, bool, float, int]:
        values = trial.final_values
        first = sign * values[0] if values else 0.0
        return (values is None, not trial.is_feasible, trial.task_id not in front, first, trial.number)

    return sorted(trials, key=key)
