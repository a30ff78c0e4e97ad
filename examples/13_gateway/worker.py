"""A worker over HTTP: asks a gateway for hyperparameters, trains, reports each epoch, and tells the result.

    export CLEARML_HPO_TOKEN=gwt_...   # what the gateway has printed
    python examples/13_gateway/worker.py http://127.0.0.1:8123

It needs scikit-learn and ``RemoteStudy``, but no ClearML. Start as many as you like, anywhere.
"""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

try:
    from client import RemoteStudy  # the one file: curl -O https://hpo.example.org/client.py
except ImportError:
    from clearml_hpo import RemoteStudy

STUDY_FILE = {  # by which the first worker makes the study, if there is none of this name
    "search_space": {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
        "l2": {"type": "float", "low": 1e-6, "high": 0.1, "log": True},
        "epochs": 12,
    },
    "objective": {"metric": "validation/logloss", "direction": "minimize"},
    "pruner": {"name": "median", "options": {"n_startup_trials": 3, "n_warmup_steps": 2}},
    "budget": {"trials": 12},
}


def main(address: str, name: str) -> None:
    """Runs trials until the study gives no more."""
    features, target = load_breast_cancer(return_X_y=True)
    learn_x, check_x, learn_y, check_y = train_test_split(features, target, stratify=target, random_state=0)
    scaler = StandardScaler().fit(learn_x)
    study = RemoteStudy(address, name, STUDY_FILE)
    for trial in study.trials():
        with trial:  # an exception ends the trial as failed
            model = SGDClassifier(
                loss="log_loss",
                learning_rate="constant",
                eta0=trial.params["learning_rate"],
                alpha=trial.params["l2"],
                average=True,
                random_state=0,
            )
            for epoch in range(trial.constants["epochs"]):
                model.partial_fit(scaler.transform(learn_x), learn_y, classes=np.unique(target))
                loss = float(log_loss(check_y, model.predict_proba(scaler.transform(check_x))))
                if trial.report(epoch, logloss=loss):
                    print(f"trial {trial.number} ends: {trial.reason}")
                    break
            else:
                trial.complete(logloss=loss)
                print(f"trial {trial.number}: {loss:.4f}")
    best = study.best()
    if best is not None:
        print(f"best: trial {best['number']}, {best['values'][0]:.4f}, {best['params']}")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    main(given.get(0, "http://127.0.0.1:8123"), given.get(1, "sgd-over-http"))
