"""The best parameters as YAML, for a search space as constants, or for a user."""

from __future__ import annotations

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial
from clearml_hpo.study_file import dump_params


def best_yaml(trial: Trial, goal: Goal) -> str:
    """The parameters under a comment that names the trial and its values."""
    values = [f"{o.metric} = {value!r}" for o, value in zip(goal.objectives, trial.values, strict=True)]
    return f"# trial {trial.number} (task {trial.task_id}): {', '.join(values)}\n{dump_params(trial.params)}"
