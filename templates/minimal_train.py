"""Train a model and log it to ClearML: the smallest template. Copy it, and put your own training into ``train``.

    python templates/minimal_train.py                          # logs to the ClearML server that is configured
    CLEARML_OFFLINE_MODE=1 python templates/minimal_train.py   # no server

A study needs three things of a script: it calls ``Task.init``, it connects its hyperparameters, and it reports the
objective as a scalar.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from clearml import Task
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

# Each is a hyperparameter of the task: General/learning_rate, ... A value from the server gets its default's type.
PARAMETERS = {
    "learning_rate": 0.01,
    "l2": 0.0001,
    "average": True,
    "epochs": 20,
    "seed": 0,
}


def train(params: dict[str, Any], report: Callable[[float, int], None]) -> None:
    """Train, and report the validation loss after each epoch, so that a pruner can end a hopeless trial early."""
    features, target = load_breast_cancer(return_X_y=True)
    split = train_test_split(features, target, test_size=0.25, stratify=target, random_state=params["seed"])
    learn_x, check_x, learn_y, check_y = split
    scaler = StandardScaler().fit(learn_x)
    model = SGDClassifier(
        loss="log_loss",
        learning_rate="constant",
        eta0=params["learning_rate"],
        alpha=params["l2"],
        average=params["average"],
        random_state=params["seed"],
    )
    for epoch in range(params["epochs"]):
        model.partial_fit(scaler.transform(learn_x), learn_y, classes=np.unique(target))
        report(float(log_loss(check_y, model.predict_proba(scaler.transform(check_x)))), epoch)


if __name__ == "__main__":
    Task.set_random_seed(None)  # the seed is a parameter here; Task.init would set its own
    task = Task.init(project_name="clearml-hpo/templates", task_name="minimal", auto_connect_frameworks=False)
    params = task.connect(dict(PARAMETERS))
    logger = task.get_logger()
    train(params, lambda loss, epoch: logger.report_scalar("validation", "logloss", loss, epoch))
