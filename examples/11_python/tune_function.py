"""A study of a Python function: no script, no study file."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

import clearml_hpo


def accuracy(trial: clearml_hpo.Trial) -> float:
    """Mean accuracy of a classifier, over three folds."""
    digits, labels = load_digits(return_X_y=True)
    if trial.suggest_categorical("model", ["boosting", "neighbours"]) == "boosting":
        model = HistGradientBoostingClassifier(
            learning_rate=trial.suggest_float("learning_rate", 0.02, 0.5, log=True),
            max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 4, 32, log=True),
            max_iter=20,
        )
    else:
        model = KNeighborsClassifier(trial.suggest_int("n_neighbors", 1, 30))
    return cross_val_score(model, digits[:600], labels[:600], cv=3).mean()


if __name__ == "__main__":
    study = clearml_hpo.optimize(
        accuracy, n_trials=8, direction="maximize", local=True, cpu=2, project="clearml-hpo/examples"
    )
    print(f"best: trial {study.best.number}, {study.best.values[0]:.3f}, {dict(study.best.params)}")
