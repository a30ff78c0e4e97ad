"""What the search-quality benchmark searches: four functions, two slow models, and many quick ones."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from benchmarks.problem import Problem
from benchmarks.trained_problems import CHOOSING, CONFIRMING
from clearml_hpo.search.space import Categorical, Float, Int, SearchSpace

# Hartmann's function with six variables and Branin's, with their optima: Dixon and Szegö, Towards Global
# Optimisation 2, 1978; also at https://www.sfu.ca/~ssurjano/hart6.html and .../branin.html.
_HARTMANN_ALPHA = (1.0, 1.2, 3.0, 3.2)
_HARTMANN_A = (
    (10.0, 3.0, 17.0, 3.5, 1.7, 8.0),
    (0.05, 10.0, 17.0, 0.1, 8.0, 14.0),
    (3.0, 3.5, 1.7, 10.0, 17.0, 8.0),
    (17.0, 8.0, 0.05, 10.0, 0.1, 14.0),
)
_HARTMANN_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def _hartmann6(p: Mapping[str, Any]) -> float:
    x = [p[f"x{i}"] for i in range(6)]
    return -sum(
        alpha * math.exp(-sum(a * (v - c) ** 2 for a, v, c in zip(row, x, centre, strict=True)))
        for alpha, row, centre in zip(_HARTMANN_ALPHA, _HARTMANN_A, _HARTMANN_P, strict=True)
    )


def _branin(p: Mapping[str, Any]) -> float:
    x, y = p["x"], p["y"]
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def _mixed(p: Mapping[str, Any]) -> float:
    """A made-up model: the best rate hangs on the depth, and the best subsample on the kind."""
    rate = (math.log10(p["rate"]) + 2 + 0.15 * (p["depth"] - 7)) ** 2
    depth = 0.03 * (p["depth"] - 8) ** 2
    kind = {"a": 0.0, "b": 0.15, "c": 0.4}[p["kind"]]
    subsample = (p["subsample"] - (0.7 if p["kind"] == "a" else 0.4)) ** 2
    return rate + depth + kind + subsample + (0.0 if p["flag"] else 0.1)


def _branches(p: Mapping[str, Any]) -> float:
    """Three made-up models with parameters of their own; the best one has the narrowest optimum."""
    if p["model"] == "linear":
        return 0.25 + 0.3 * (math.log10(p["penalty"]) + 1) ** 2
    if p["model"] == "forest":
        return 0.1 + ((p["trees_depth"] - 14) / 10) ** 2 + (p["features"] - 0.4) ** 2
    rate = (math.log10(p["rate"]) + 1.7 + 0.08 * (p["depth"] - 5)) ** 2
    return rate + 0.5 * ((p["depth"] - 5) / 6) ** 2 + (p["subsample"] - 0.75) ** 2


@functools.cache
def _breast_cancer() -> tuple[Any, ...]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    return tuple(train_test_split(*load_breast_cancer(return_X_y=True), test_size=0.4, random_state=0))


@functools.cache
def _diabetes() -> tuple[Any, ...]:
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import KFold

    x, y = load_diabetes(return_X_y=True)
    folds = KFold(3, shuffle=True, random_state=0).split(x)
    return tuple((x[train], x[test], y[train], y[test]) for train, test in folds)


def _gbm_cancer(p: Mapping[str, Any]) -> float:
    """Log loss of a classifier on the 228 rows of breast cancer that it was not trained on."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import log_loss

    x_train, x_test, y_train, y_test = _breast_cancer()
    model = HistGradientBoostingClassifier(**p, early_stopping=False, random_state=0)
    return float(log_loss(y_test, model.fit(x_train, y_train).predict_proba(x_test)))


def _gbm_diabetes(p: Mapping[str, Any]) -> float:
    """Mean absolute error of a regressor on diabetes, over three folds."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.metrics import mean_absolute_error

    def error(x_train: Any, x_test: Any, y_train: Any, y_test: Any) -> float:
        model = HistGradientBoostingRegressor(**p, early_stopping=False, random_state=0).fit(x_train, y_train)
        return float(mean_absolute_error(y_test, model.predict(x_test)))

    return sum(error(*fold) for fold in _diabetes()) / 3


_FUNCTIONS: dict[str, Problem] = {
    "hartmann6": Problem(SearchSpace({f"x{i}": Float(0.0, 1.0) for i in range(6)}), _hartmann6, -3.322368011415511),
    "branin": Problem(SearchSpace({"x": Float(-5.0, 10.0), "y": Float(0.0, 15.0)}), _branin, 0.39788735772973816),
    "mixed": Problem(
        SearchSpace(
            {
                "rate": Float(1e-4, 1.0, log=True),
                "depth": Int(2, 12),
                "subsample": Float(0.1, 1.0),
                "kind": Categorical(("a", "b", "c")),
                "flag": Categorical((True, False)),
            }
        ),
        _mixed,
        0.0,
    ),
    "branches": Problem(
        SearchSpace(
            {
                "model": Categorical(("linear", "forest", "boosting")),
                "penalty": Float(1e-4, 1e2, log=True),
                "trees_depth": Int(2, 20),
                "features": Float(0.1, 1.0),
                "rate": Float(1e-4, 1.0, log=True),
                "depth": Int(2, 12),
                "subsample": Float(0.1, 1.0),
            },
            conditions={
                "penalty": {"model": ("linear",)},
                "trees_depth": {"model": ("forest",)},
                "features": {"model": ("forest",)},
                "rate": {"model": ("boosting",)},
                "depth": {"model": ("boosting",)},
                "subsample": {"model": ("boosting",)},
            },
        ),
        _branches,
        0.0,
    ),
    "gbm_cancer": Problem(
        SearchSpace(
            {
                "learning_rate": Float(0.01, 0.5, log=True),
                "max_iter": Int(10, 80),
                "max_leaf_nodes": Int(3, 32),
                "min_samples_leaf": Int(2, 60),
                "l2_regularization": Float(1e-5, 10.0, log=True),
                "max_features": Float(0.1, 1.0),
            }
        ),
        _gbm_cancer,
    ),
    "gbm_diabetes": Problem(
        SearchSpace(
            {
                "learning_rate": Float(0.01, 0.5, log=True),
                "max_iter": Int(10, 80),
                "max_depth": Int(1, 8),
                "min_samples_leaf": Int(2, 60),
                "max_features": Float(0.1, 1.0),
                "max_bins": Int(8, 248, step=8),
                "loss": Categorical(("squared_error", "absolute_error", "poisson")),
            }
        ),
        _gbm_diabetes,
    ),
}

HALVES: dict[str, tuple[str, ...]] = {
    "functions": tuple(_FUNCTIONS),
    "choosing": tuple(CHOOSING),
    "confirming": tuple(CONFIRMING),
}
PROBLEMS: dict[str, Problem] = {**_FUNCTIONS, **CHOOSING, **CONFIRMING}
