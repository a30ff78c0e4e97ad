"""Ray Tune on this machine alone: ``python -m benchmarks.study_ray SLOTS SECONDS SEED FOLDER``.

ASHA with its defaults, but that it knows how many values a training reports; random points. Needs ``ray[tune]``,
XGBoost and scikit-learn: any Python that has them will do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import BasicVariantGenerator

from benchmarks.boosting import EVERY, PARAMETERS, SPACE, TREES, train

_LOOPBACK = "127.0.0.1"
_STORE_BYTES = 200 * 1024 * 1024


def trial(config: Mapping[str, Any]) -> None:
    """One training."""
    train(config, lambda loss, tree: tune.report({"loss": loss, "tree": tree}))


def axis(name: str) -> Any:
    """The range of a parameter, as Ray has it."""
    low, high, log = SPACE[name]
    if isinstance(PARAMETERS[name], int):
        return tune.randint(int(low), int(high) + 1)
    return tune.loguniform(low, high) if log else tune.uniform(low, high)


def main(slots: str, seconds: str, seed: str, folder: str) -> None:
    """Trials until the time is up."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=int(slots),
        num_gpus=0,
        include_dashboard=False,
        _node_ip_address=_LOOPBACK,
        object_store_memory=_STORE_BYTES,
        log_to_driver=False,
    )
    config = tune.TuneConfig(
        metric="loss",
        mode="min",
        num_samples=-1,
        scheduler=ASHAScheduler(max_t=TREES // EVERY),
        search_alg=BasicVariantGenerator(random_state=int(seed)),
        time_budget_s=float(seconds),
    )
    space = {name: axis(name) for name in SPACE}
    run = tune.RunConfig(storage_path=folder, name="bench", verbose=0)
    tune.Tuner(trial, param_space=space, tune_config=config, run_config=run).fit()
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
