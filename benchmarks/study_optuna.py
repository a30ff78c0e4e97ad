"""One of several Optuna processes on one storage: ``python -m benchmarks.study_optuna STORAGE SEED``.

Optuna's defaults: TPE and its median pruner. Runs until it is ended.
"""

from __future__ import annotations

import sys

import optuna

from benchmarks.boosting import PARAMETERS, SPACE, train


def objective(trial: optuna.Trial) -> float:
    """One training."""
    params: dict[str, float] = {}
    for name, (low, high, log) in SPACE.items():
        if isinstance(PARAMETERS[name], int):
            params[name] = trial.suggest_int(name, int(low), int(high), log=log)
        else:
            params[name] = trial.suggest_float(name, low, high, log=log)

    def report(loss: float, tree: int) -> None:
        trial.report(loss, tree)
        if trial.should_prune():
            raise optuna.TrialPruned

    return train(params, report)


if __name__ == "__main__":
    storage, seed = sys.argv[1:]
    sampler = optuna.samplers.TPESampler(seed=int(seed))
    optuna.load_study(study_name="bench", storage=storage, sampler=sampler).optimize(objective)
