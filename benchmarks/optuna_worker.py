"""One of several Optuna processes on one storage: ``python -m benchmarks.optuna_worker STORAGE TRIALS TEMPLATE``.

Runs until the study has so many finished trials. The training functions are those of the templates, without ClearML.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import optuna
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

Report = Callable[[float, int], None]


def no_op(x: float, depth: int, report: Report) -> float:
    """What ``no_op.py`` does."""
    for iteration in range(5):
        report(x + 1 / (iteration + 1), iteration)
    return x + 1 / 5


def main(storage: str, trials: str, template: str) -> None:
    """Works on the study ``bench``."""
    train = no_op
    if template == "catboost":
        from benchmarks.catboost_cancer import train

    def objective(trial: optuna.Trial) -> float:
        x, depth = trial.suggest_float("x", 0.0, 1.0), trial.suggest_int("depth", 2, 8)
        return train(x, depth, trial.report)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="bench", storage=storage, load_if_exists=True)
    ended = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)
    study.optimize(objective, callbacks=[MaxTrialsCallback(int(trials), states=ended)])


if __name__ == "__main__":
    main(*sys.argv[1:])
