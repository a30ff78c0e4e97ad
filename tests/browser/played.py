"""Studies that played agents run, for pictures of the dashboard: real controllers, made-up training."""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from clearml_hpo.backend.api import Api
from clearml_hpo.studies.study import Study
from clearml_hpo.testing import PlayedAgent
from tests.integration.controller.driving import run

CONNECTS = {
    "General/learning_rate": ("float", "0.03"),
    "General/depth": ("int", "6"),
    "General/subsample": ("float", "0.8"),
    "General/booster": ("str", "gbtree"),
}
STUDY = """\
study: {name}
project: finance/{name}
template:
  script: {script}
search_space:
  General/learning_rate: {{type: float, low: 0.0001, high: 0.5, log: true}}
  General/depth: {{type: int, low: 3, high: 10}}
  General/subsample: {{type: float, low: 0.5, high: 1.0}}
  General/booster: {{type: categorical, choices: [gbtree, dart]}}
{objective}
budget: {{trials: {trials}, time: 30m}}
execution: {{queue: {queue}, poll_interval: 0.2}}
"""
ONE = """\
objective: {metric: validation/logloss, direction: minimize}
sampler: {name: tpe, seed: 4}
pruner: {name: median, options: {n_startup_trials: 8, n_warmup_steps: 12}}
failures: {stop_after: 0, failed: {retries: 0}}"""
TWO = """\
objective:
- {metric: validation/logloss, direction: minimize}
- {metric: size/megabytes, direction: minimize}
sampler: {name: random, seed: 2}"""
_STEPS = 30
_PATIENCE_S = 300.0


class Training:
    """Made-up training of boosted trees: quick, until :attr:`lingers` is set; it ends at once when ``over``."""

    def __init__(self) -> None:
        self.lingers = threading.Event()
        self.over = threading.Event()

    def __call__(self, params: Mapping[str, str]) -> Iterator[Mapping[str, float]]:
        """What each iteration reports."""
        rate, depth = float(params["General/learning_rate"]), int(params["General/depth"])
        sample, is_dart = float(params["General/subsample"]), params["General/booster"] == "dart"
        chance = random.Random(f"{rate}{depth}")
        if depth == 10 and rate > 0.02:
            raise RuntimeError("CUDA out of memory: tried to allocate 2.4 GiB")
        floor = 0.16 + 0.07 * abs(math.log10(rate) + 1.5) ** 1.5 + 0.012 * abs(depth - 7) + 0.2 * abs(sample - 0.85)
        floor += 0.03 * is_dart
        for step in range(1, _STEPS + 1):
            fall = math.exp(-step * (0.06 + min(rate, 0.2)))
            loss = floor + 0.5 * fall + chance.gauss(0, 0.004)
            yield {
                "validation/logloss": loss,
                "train/logloss": loss - 0.02 - 0.0015 * step,
                "validation/AUC": 1 - loss / 2,
                "size/megabytes": depth**2 / 4 + 3 * is_dart,
            }
            self.over.wait(4.0 if self.lingers.is_set() else 0.02)
            if self.over.is_set():
                raise RuntimeError("the pictures are taken")


@contextlib.contextmanager
def studies(folder: Path) -> Iterator[Study]:
    """Two studies: one that ended, with two objectives, and the one that is given, of which four trials run."""
    api, training, queue, stopped = Api(), Training(), "gpus", threading.Event()
    api.call("queues.create", name=queue)
    script = folder / "boosted_trees.py"
    script.write_text(
        '"""Connects learning_rate, depth, subsample, booster; reports validation/logloss, size/megabytes."""\n'
    )
    with contextlib.ExitStack() as stack:
        for gpu in range(4):
            name = f"gpu-{1 + gpu // 2}:gpu{gpu % 2}"
            stack.enter_context(PlayedAgent(training, worker_id=name, queue=queue, connects=CONNECTS))
        run(_file(folder, "churn", TWO, trials=30, queue=queue), api)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        running = pool.submit(run, _file(folder, "credit", ONE, trials=60, queue=queue), api, stopped=stopped)
        try:
            _until_ended(45, running)
            training.lingers.set()
            time.sleep(15.0)  # so that the curves of running trials have begun
            yield Study.load("credit")
        finally:
            training.over.set()
            stopped.set()


def _file(folder: Path, name: str, objective: str, *, trials: int, queue: str) -> Path:
    path = folder / f"{name}.yaml"
    given = {"objective": objective, "trials": trials, "queue": queue, "script": folder / "boosted_trees.py"}
    path.write_text(STUDY.format(name=name, **given))
    return path


def _until_ended(count: int, running: Future[object]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if running.done():
            running.result()
            raise AssertionError("the study has ended before the pictures were taken")
        with contextlib.suppress(Exception):  # it is not there yet
            if sum(not trial.state.is_live for trial in Study.load("credit").trials) >= count:
                return
        time.sleep(0.5)
    raise AssertionError(f"fewer than {count} trials have ended after {_PATIENCE_S:.0f} s")
