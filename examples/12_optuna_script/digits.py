"""A script of Optuna's. Only its import is new; it was: import optuna."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from clearml_hpo import optuna

EPOCHS = 12


def objective(trial: optuna.Trial) -> float:
    """Accuracy of a linear classifier after some epochs."""
    digits, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(digits / 16, labels, random_state=0)
    model = SGDClassifier(
        loss=trial.suggest_categorical("loss", ["hinge", "log_loss", "modified_huber"]),
        alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
        eta0=trial.suggest_float("eta0", 1e-3, 1.0, log=True),
        learning_rate="constant",
        random_state=0,
    )
    for epoch in range(EPOCHS):
        model.partial_fit(train_x, train_y, classes=range(10))
        accuracy = model.score(test_x, test_y)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


if __name__ == "__main__":
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=1),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.optimize(objective, n_trials=10, n_jobs=2)
    print(f"best: trial {study.best_trial.number}, {study.best_value:.3f}, {study.best_params}")
