"""One of several Optuna processes on one storage: ``python -m benchmarks.optuna_worker STORAGE TRIALS TEMPLATE``.

Runs until the study has so many finished trials. The training functions are those of the templates, without ClearML.
"""

from __future__ import annotations

import sys

import optuna
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

from benchmarks.trainings import TRAININGS


def main(storage: str, trials: str, template: str) -> None:
    """Works on the study ``bench``."""
    train = TRAININGS[template]()

    def objective(trial: optuna.Trial) -> float:
        x, depth = trial.suggest_float("x", 0.0, 1.0), trial.suggest_int("depth", 2, 8)
        return train(x, depth, trial.report)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="bench", storage=storage, load_if_exists=True)
    ended = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)
    study.optimize(objective, callbacks=[MaxTrialsCallback(int(trials), states=ended)])


if __name__ == "__main__":
    main(*sys.argv[1:])
