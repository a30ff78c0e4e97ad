"""What an open study amounts to, for those who ask over HTTP."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState, best_trial
from clearml_hpo.core.values import Params
from clearml_hpo.search.importances import importances_of_all
from clearml_hpo.studies.rows import columns_of, rows_of, to_csv
from clearml_hpo.study_file import StudyFile


@dataclass(frozen=True)
class Reading:
    """A study's file and its trials."""

    file: StudyFile
    trials: Sequence[Trial]

    @property
    def constants(self) -> Params:
        """What every trial is given beside its own parameters."""
        return self.file.space.constants

    @property
    def metrics(self) -> Sequence[str]:
        """The scalars that the study looks at, ``title/series``."""
        return [*self.file.goal.metrics]

    @property
    def importances(self) -> Sequence[Mapping[str, float]]:
        """How much each objective depends on each parameter; empty mappings while too few trials have ended."""
        return importances_of_all(self.trials, self.file.space, self.file.goal)

    @property
    def csv(self) -> str:
        """All trials as CSV."""
        params = sorted({name for trial in self.trials for name in trial.params})
        columns = [name for name in columns_of(self.file.goal, params) if name != "url"]
        return to_csv(rows_of(self.trials, self.file.goal, params, lambda trial: ""), columns)

    @property
    def best(self) -> Trial | None:
        """The best completed trial."""
        return best_trial(self.trials, self.file.goal)

    def best_with(self, told: Mapping[str, Mapping[str, float]]) -> Trial | None:
        """The same, if those trials had ended with what was told, by task."""
        goal = self.file.goal
        return best_trial((_as_told(trial, told.get(trial.task_id, {}), goal) for trial in self.trials), goal)


def _as_told(trial: Trial, outcome: Mapping[str, float], goal: Goal) -> Trial:
    """A trial as completed with these values, unless it was seen to end; not with bounds of other scalars."""
    values = tuple(outcome.get(objective.metric, math.nan) for objective in goal.objectives)
    if not trial.state.is_live or goal.constraints or not all(map(math.isfinite, values)):
        return trial
    return replace(trial, state=TrialState.COMPLETED, values=values)
