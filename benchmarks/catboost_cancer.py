"""A template with a short training: CatBoost on breast cancer, 200 trees, a value every 20 of them."""

from __future__ import annotations

from collections.abc import Callable

from catboost import CatBoostClassifier
from clearml import Task
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

TREES = 200
EVERY = 20


def train(x: float, depth: int, report: Callable[[float, int], None]) -> float:
    """Trains with the learning rate ``x``; ``report`` hears the validation loss; returns the last one."""
    data, target = load_breast_cancer(return_X_y=True)
    parts = train_test_split(data, target, test_size=0.2, random_state=0, stratify=target)
    model = CatBoostClassifier(
        iterations=TREES, learning_rate=max(x, 1e-3), depth=depth, thread_count=1, verbose=False, random_seed=0
    )
    model.set_params(allow_writing_files=False)
    model.fit(parts[0], parts[2], eval_set=(parts[1], parts[3]))
    losses = model.get_evals_result()["validation"]["Logloss"]
    for i in range(EVERY - 1, len(losses), EVERY):
        report(losses[i], i)
    return float(losses[-1])


if __name__ == "__main__":
    task = Task.init("benchmarks", "catboost")
    given = task.connect({"x": 0.1, "depth": 4})
    logger = task.get_logger()
    train(given["x"], given["depth"], lambda loss, i: logger.report_scalar("validation", "loss", loss, i))
