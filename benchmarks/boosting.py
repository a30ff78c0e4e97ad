"""A template as a user has it: XGBoost on 24,000 noisy rows, 300 trees, a value every 10 of them.

What the study benchmark measures is written by the training itself, alike on all sides: if ``BENCH_STUDY_LOG`` names a
file, each training adds a line to it when it starts and when it has its last value.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import xgboost
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

LOG = "BENCH_STUDY_LOG"
TREES = 300
EVERY = 10
PARAMETERS: dict[str, float | int] = {
    "learning_rate": 0.03,
    "max_depth": 4,
    "min_child_weight": 1.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
}
SPACE: Mapping[str, tuple[float, float, bool]] = {
    "learning_rate": (0.005, 0.5, True),
    "max_depth": (2, 10, False),
    "min_child_weight": (0.1, 50.0, True),
    "subsample": (0.3, 1.0, False),
    "colsample_bytree": (0.3, 1.0, False),
    "reg_lambda": (0.01, 100.0, True),
}
"""Lowest value, highest value, and whether it is searched by its logarithm; whole numbers where the default is one."""


@cache
def data() -> list[Any]:
    """Features to learn from and to validate on, then their classes; one label of twelve is wrong."""
    features, target = make_classification(
        n_samples=24_000,
        n_features=30,
        n_informative=12,
        n_redundant=6,
        n_clusters_per_class=6,
        flip_y=0.08,
        class_sep=0.8,
        random_state=0,
    )
    return list(train_test_split(features, target, test_size=0.25, random_state=0, stratify=target))


def train(params: Mapping[str, Any], report: Callable[[float, int], None]) -> float:
    """Trains on one core; ``report`` hears the validation loss; returns the last one."""
    note("start")
    learn_x, check_x, learn_y, check_y = data()
    rows, check = xgboost.DMatrix(learn_x, learn_y, nthread=1), xgboost.DMatrix(check_x, nthread=1)
    fixed = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "seed": 0}
    model = xgboost.Booster({**params, **fixed}, [rows])
    loss = float("nan")
    for tree in range(1, TREES + 1):
        model.update(rows, tree - 1)
        if tree % EVERY == 0:
            loss = float(log_loss(check_y, model.predict(check)))
            if tree == TREES:
                note("end", loss)  # before the report: a scheduler may end the process in it
            report(loss, tree)
    return loss


def note(what: str, loss: float | None = None) -> None:
    """Adds a line to the log, in one write, as several processes share it."""
    if name := os.environ.get(LOG):
        with Path(name).open("a") as log:
            log.write(json.dumps({"at": time.time(), "what": what, "loss": loss}) + "\n")


if __name__ == "__main__":
    from clearml import Task

    task = Task.init("benchmarks", "boosting")
    given = task.connect(dict(PARAMETERS))
    logger = task.get_logger()
    train(given, lambda loss, tree: logger.report_scalar("validation", "loss", loss, tree))
