"""Ray Tune on this machine alone: ``python -m benchmarks.ray_worker TRIALS SLOTS TEMPLATE FOLDER HOW``.

Prints JSON. Needs ``ray[tune]`` and ``psutil``; Ray is no dependency of this project: any Python that has it will do.
The training functions are those of the templates; of ClearML nothing is loaded. A trial has a process of its own, or,
if HOW is ``reused``, the one of the trial before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import psutil
import ray
from ray import tune

from benchmarks.trainings import TRAININGS

_LOOPBACK = "127.0.0.1"
_STORE_BYTES = 200 * 1024 * 1024
_WARM = 2  # trials of each slot before those that count


def trainable(template: str) -> Callable[[Mapping[str, Any]], None]:
    """What Ray runs for each trial."""

    def run(config: Mapping[str, Any]) -> None:
        stand_in = ModuleType("clearml")  # the template that the training is in imports it for its own sake
        stand_in.Task = None  # type: ignore[attr-defined]
        sys.modules.setdefault("clearml", stand_in)
        began = time.time()
        train = TRAININGS[template]()

        def report(loss: float, i: int) -> None:
            tune.report({"loss": loss, "i": i, "began": began, "ended": time.time()})

        train(config["x"], config["depth"], report)

    return run


def spans(template: str, trials: int, slots: int, folder: str, how: str) -> list[tuple[float, float]]:
    """Start and end of each trial, in seconds."""
    tuner = tune.Tuner(
        trainable(template),
        param_space={"x": tune.uniform(0.0, 1.0), "depth": tune.randint(2, 9)},
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=trials, max_concurrent_trials=slots, reuse_actors=how == "reused"
        ),
        run_config=tune.RunConfig(storage_path=folder, name=f"bench-{time.monotonic_ns()}", verbose=0),
    )
    ended = [result.metrics for result in tuner.fit() if result.metrics and not result.error]
    return [(each["began"], each["ended"]) for each in ended]


def cpu_s() -> float:
    """Processor seconds of this process and of all it has started."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (me, *me.children(recursive=True)))


def main(trials: str, slots: str, template: str, folder: str, how: str) -> None:
    """Trials that only warm up, then those that count."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=int(slots),
        num_gpus=0,
        include_dashboard=False,
        _node_ip_address=_LOOPBACK,
        object_store_memory=_STORE_BYTES,
        log_to_driver=False,
    )
    try:
        spans(template, _WARM * int(slots), int(slots), folder, how)
        before = cpu_s()
        found = spans(template, int(trials), int(slots), folder, how)
        used = cpu_s() - before if how == "reused" else None  # processes that have ended are not counted
        print(json.dumps({"spans": found, "cpu_s": used, "ray": ray.__version__}))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
