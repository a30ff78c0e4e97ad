"""Optuna on a Dask cluster of this machine: ``python -m benchmarks.dask_storage TRIALS SLOTS TEMPLATE``.

The last line is JSON: start and end of each trial, in seconds. Needs ``optuna-integration``: its ``DaskStorage`` is on
the scheduler, here in memory. The training functions are those of the templates, without ClearML.
"""

from __future__ import annotations

import json
import sys

import optuna
from distributed import Client, LocalCluster, wait
from optuna_integration import DaskStorage

from benchmarks.trainings import TRAININGS

_AT_A_TIME = 10
"""Trials of a Dask task, as in the example that comes with it."""


def main(trials: str, slots: str, template: str) -> None:
    """A Dask worker for each slot, with a process of its own."""

    def objective(trial: optuna.Trial) -> float:
        x, depth = trial.suggest_float("x", 0.0, 1.0), trial.suggest_int("depth", 2, 8)
        return TRAININGS[template]()(x, depth, trial.report)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with (
        LocalCluster(n_workers=int(slots), threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        study = optuna.create_study(storage=DaskStorage(client=client))
        counts = [min(_AT_A_TIME, int(trials) - begin) for begin in range(0, int(trials), _AT_A_TIME)]
        wait([client.submit(study.optimize, objective, n_trials=count, pure=False) for count in counts])
        times = [(trial.datetime_start, trial.datetime_complete) for trial in study.get_trials(deepcopy=False)]
    print(json.dumps([(start.timestamp(), end.timestamp()) for start, end in times if start and end]))


if __name__ == "__main__":
    main(*sys.argv[1:])
