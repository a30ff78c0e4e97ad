"""Searches with two objectives: the error of a really trained scikit-learn model, and its size.

Two halves as in `trained_problems.py`, also fixed before any of them was searched. A size is how much the model keeps:
support vectors, nodes of trees, weights. Where sizes span orders of magnitude it is the decimal logarithm.

The reference of an error is what a model has that knows nothing: it predicts the mean, or the share of each class. The
reference of a size is the largest that the space allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.problem import Problem
from benchmarks.trained_problems import (
    _BAD,
    _FEATURES,
    _FEATURES_OWN,
    _MARGIN,
    _MARGIN_OWN,
    _SVR,
    _SVR_OWN,
    Params,
    _error,
    _hinge,
)
from clearml_hpo.search.space import Categorical, Float, Int, SearchSpace

Front = tuple[float, float]


def _front(model: Any, error: float, size: Callable[[Any], float]) -> Front:
    """A model that could not be trained has no size: it counts as bad."""
    return error, size(model) if error < _BAD else _BAD


def _svr_size(p: Params) -> Front:
    from sklearn.svm import SVR

    model = SVR(max_iter=5000, **p)
    return _front(model, _error(model, "friedman1"), lambda m: len(m.support_) / 150)


def _svm_size(p: Params) -> Front:
    from sklearn.svm import SVC

    model = SVC(max_iter=5000, **p)
    return _front(model, _hinge(model), lambda m: len(m.support_) / 300)


def _forest_size(p: Params) -> Front:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(random_state=0, **p)
    return _front(model, _error(model, "diabetes"), lambda m: math.log10(_nodes(*m.estimators_)))


def _boosting_size(p: Params) -> Front:
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(random_state=0, **p)
    return _front(model, _error(model, "friedman1"), lambda m: math.log10(_nodes(*m.estimators_[:, 0])))


def _features_size(p: Params) -> Front:
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    features = RBFSampler(gamma=p["gamma"], n_components=p["features"], random_state=0)
    return _error(make_pipeline(features, Ridge(p["alpha"])), "friedman2"), p["features"] / 200


def _network_size(p: Params) -> Front:
    from sklearn.neural_network import MLPClassifier

    given = {"activation": p["activation"], "alpha": p["alpha"], "max_iter": p["iterations"]}
    model = MLPClassifier((p["first"], p["second"]), solver="lbfgs", random_state=0, **given)
    return _front(model, _error(model, "moons"), lambda m: math.log10(sum(each.size for each in m.coefs_)))


def _classifiers_size(p: Params) -> Front:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    model = {
        "linear": lambda: LogisticRegression(C=p["C"], l1_ratio=1.0, solver="liblinear", random_state=0),
        "neighbors": lambda: KNeighborsClassifier(p["k"], p=p["p"], weights=p["weights"]),
        "tree": lambda: DecisionTreeClassifier(max_depth=p["depth"], min_samples_leaf=p["leaf"], random_state=0),
    }[p["model"]]()
    return _front(model, _error(model, "blobs"), _numbers)


def _regressors_size(p: Params) -> Front:
    from sklearn.linear_model import Lasso
    from sklearn.svm import SVR
    from sklearn.tree import DecisionTreeRegressor

    model = {
        "lasso": lambda: Lasso(p["alpha"]),
        "svr": lambda: SVR(C=p["C"], gamma=p["gamma"], epsilon=p["epsilon"], max_iter=5000),
        "tree": lambda: DecisionTreeRegressor(max_depth=p["depth"], min_samples_leaf=p["leaf"], random_state=0),
    }[p["model"]]()
    return _front(model, _error(model, "diabetes"), _numbers)


def _nodes(*trees: Any) -> int:
    return sum(tree.tree_.node_count for tree in trees)


def _numbers(model: Any) -> float:
    """Decimal logarithm of the numbers that a model keeps: weights but zeros, nodes, or rows with their columns."""
    if hasattr(model, "tree_"):
        kept = _nodes(model)
    elif hasattr(model, "support_vectors_"):
        kept = model.support_vectors_.size
    elif hasattr(model, "coef_"):
        kept = int((model.coef_ != 0).sum())
    else:
        kept = model.n_samples_fit_ * model.n_features_in_
    return math.log10(max(kept, 1))


_FOREST = SearchSpace(
    {
        "n_estimators": Int(1, 10),
        "max_depth": Int(1, 10),
        "min_samples_leaf": Int(1, 30),
        "max_features": Float(0.1, 1.0),
    }
)
_BOOSTING = SearchSpace(
    {
        "n_estimators": Int(1, 30),
        "max_depth": Int(1, 5),
        "learning_rate": Float(0.01, 1.0, log=True),
        "subsample": Float(0.3, 1.0),
        "min_samples_leaf": Int(1, 30),
    }
)
_NETWORK = SearchSpace(
    {
        "first": Int(1, 16),
        "second": Int(1, 16),
        "activation": Categorical(("relu", "tanh", "logistic")),
        "alpha": Float(1e-7, 1e2, log=True),
        "iterations": Int(5, 60),
    }
)
_CLASSIFIERS = SearchSpace(
    {
        "model": Categorical(("linear", "neighbors", "tree")),
        "C": Float(1e-3, 1e3, log=True),
        "k": Int(1, 40),
        "p": Float(1.0, 3.0),
        "weights": Categorical(("uniform", "distance")),
        "depth": Int(1, 12),
        "leaf": Int(1, 30),
    },
    conditions={
        "C": {"model": ("linear",)},
        **{name: {"model": ("neighbors",)} for name in ("k", "p", "weights")},
        **{name: {"model": ("tree",)} for name in ("depth", "leaf")},
    },
)
_REGRESSORS = SearchSpace(
    {
        "model": Categorical(("lasso", "svr", "tree")),
        "alpha": Float(1e-5, 1.0, log=True),
        "C": Float(1e-3, 1e3, log=True),
        "gamma": Float(1e-5, 10.0, log=True),
        "epsilon": Float(1e-3, 1.0, log=True),
        "depth": Int(1, 12),
        "leaf": Int(1, 60),
    },
    conditions={
        "alpha": {"model": ("lasso",)},
        **{name: {"model": ("svr",)} for name in ("C", "gamma", "epsilon")},
        **{name: {"model": ("tree",)} for name in ("depth", "leaf")},
    },
)

# The defaults of scikit-learn, cut to the ranges.
_FOREST_OWN = {"n_estimators": 10, "max_depth": 10, "min_samples_leaf": 1, "max_features": 1.0}
_BOOSTING_OWN = {"n_estimators": 30, "max_depth": 3, "learning_rate": 0.1, "subsample": 1.0, "min_samples_leaf": 1}
_NETWORK_OWN = {"first": 16, "second": 16, "activation": "relu", "alpha": 1e-4, "iterations": 60}

CHOOSING: dict[str, Problem] = {
    "svr_size": Problem(_SVR, _svr_size, own=_SVR_OWN, reference=(1.0, 1.0)),
    "forest_size": Problem(_FOREST, _forest_size, own=_FOREST_OWN, reference=(1.0, 3.4)),
    "features_size": Problem(_FEATURES, _features_size, own=_FEATURES_OWN, reference=(1.0, 1.0)),
    "classifiers_size": Problem(
        _CLASSIFIERS, _classifiers_size, own={"model": "linear", "C": 1.0}, reference=(0.5, 3.4)
    ),
}
CONFIRMING: dict[str, Problem] = {
    "svm_size": Problem(_MARGIN, _svm_size, own=_MARGIN_OWN, reference=(0.95, 1.0)),
    "boosting_size": Problem(_BOOSTING, _boosting_size, own=_BOOSTING_OWN, reference=(1.0, 3.3)),
    "network_size": Problem(_NETWORK, _network_size, own=_NETWORK_OWN, reference=(0.5, 2.5)),
    "regressors_size": Problem(
        _REGRESSORS, _regressors_size, own={"model": "lasso", "alpha": 1.0}, reference=(1.0, 3.4)
    ),
}
