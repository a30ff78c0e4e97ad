"""Searches of really trained scikit-learn models, each training a few milliseconds.

Two halves with the same kinds of problems on other data and models: ``CHOOSING`` is for whoever works on a sampler,
``CONFIRMING`` only shows whether that has helped. The halves were fixed before any of them was run.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.problem import Problem
from clearml_hpo.search.space import Categorical, Float, Int, SearchSpace

_BAD = 10.0  # the error of a model that fails, or predicts what is not finite
Params = Mapping[str, Any]


@functools.cache
def _data(name: str) -> tuple[Any, Any, Any, Any]:
    """Training and test halves, the columns scaled by the training half."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    generated = {
        "friedman1": lambda: datasets.make_friedman1(300, 10, noise=0.5, random_state=1),
        "friedman2": lambda: datasets.make_friedman2(300, noise=20.0, random_state=2),
        "moons": lambda: datasets.make_moons(400, noise=0.3, random_state=3),
        "blobs": lambda: datasets.make_classification(400, 12, n_informative=5, class_sep=0.7, random_state=4),
    }
    x, y = generated[name]() if name in generated else getattr(datasets, f"load_{name}")(return_X_y=True)
    x, y = x[:600], y[:600]
    if name in ("diabetes", "friedman1", "friedman2"):
        y = (y - y.mean()) / y.std()
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0)
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), scaler.transform(x_test), y_train, y_test


def _error(model: Any, data: str, weights: Any = 1.0) -> float:
    """Mean squared error of a regressor, Brier score or share of errors of a classifier."""
    x_train, x_test, y_train, y_test = _data(data)
    try:
        model.fit(x_train * weights, y_train)
        if hasattr(model, "predict_proba"):
            truth = (y_test[:, None] == model.classes_[None, :]).astype(float)
            found = float(((model.predict_proba(x_test * weights) - truth) ** 2).sum(1).mean())
        elif hasattr(model, "classes_"):
            found = float((model.predict(x_test * weights) != y_test).mean())
        else:
            found = float(((model.predict(x_test * weights) - y_test) ** 2).mean())
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return _BAD
    return min(found, _BAD) if math.isfinite(found) else _BAD


def _svr(data: str) -> Callable[[Params], float]:
    def value(p: Params) -> float:
        from sklearn.svm import SVR

        return _error(SVR(max_iter=5000, **p), data)

    return value


def _margin(p: Params) -> float:
    from sklearn.svm import SVC

    return _hinge(SVC(max_iter=5000, **p))


def _hinge(model: Any) -> float:
    """Squared hinge loss of a support vector machine on breast cancer."""
    x_train, x_test, y_train, y_test = _data("breast_cancer")
    margin = model.fit(x_train, y_train).decision_function(x_test) * (2 * y_test - 1)
    return min(float((np.maximum(0.0, 1.0 - margin) ** 2).mean()), _BAD)


def _classifiers(data: str) -> Callable[[Params], float]:
    def value(p: Params) -> float:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.tree import DecisionTreeClassifier

        if p["model"] == "linear":
            return _error(LogisticRegression(C=p["C"], max_iter=200), data)
        if p["model"] == "neighbors":
            return _error(KNeighborsClassifier(p["k"], p=p["p"], weights=p["weights"]), data)
        return _error(DecisionTreeClassifier(max_depth=p["depth"], min_samples_leaf=p["leaf"], random_state=0), data)

    return value


def _regressors(p: Params) -> float:
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import SVR

    if p["model"] == "ridge":
        return _error(Ridge(p["alpha"]), "diabetes")
    if p["model"] == "svr":
        return _error(SVR(C=p["C"], gamma=p["gamma"], epsilon=p["epsilon"], max_iter=5000), "diabetes")
    return _error(KNeighborsRegressor(p["k"], p=p["p"], weights=p["weights"]), "diabetes")


def _weighted(data: str) -> Callable[[Params], float]:
    """Kernel ridge regression with a weight for each column."""

    def value(p: Params) -> float:
        from sklearn.kernel_ridge import KernelRidge

        weights = np.array([p[f"w{i}"] for i in range(_data(data)[0].shape[1])])
        return _error(KernelRidge(alpha=p["alpha"], gamma=p["gamma"], kernel=p["kernel"]), data, weights)

    return value


def _tree_grid(p: Params) -> float:
    from sklearn.tree import DecisionTreeRegressor

    return _error(DecisionTreeRegressor(random_state=0, **p), "friedman1")


def _neighbor_grid(p: Params) -> float:
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    return _error(
        make_pipeline(PCA(p["parts"], random_state=0), KNeighborsClassifier(p["k"], p=p["p"], weights=p["weights"])),
        "digits",
    )


def _random_features(data: str) -> Callable[[Params], float]:
    """Ridge regression on random features: the more, the better."""

    def value(p: Params) -> float:
        from sklearn.kernel_approximation import RBFSampler
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline

        features = RBFSampler(gamma=p["gamma"], n_components=p["features"], random_state=0)
        return _error(make_pipeline(features, Ridge(p["alpha"])), data)

    return value


def _elastic(p: Params) -> float:
    from sklearn.linear_model import ElasticNet
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    model = ElasticNet(p["alpha"], l1_ratio=p["ratio"], max_iter=p["iterations"], tol=1e-3, selection="cyclic")
    return _error(make_pipeline(PolynomialFeatures(p["degree"]), model), "friedman2")


def _network(data: str) -> Callable[[Params], float]:
    def value(p: Params) -> float:
        from sklearn.neural_network import MLPRegressor

        layers, most = (p["units"],), p["iterations"]
        given = {"activation": p["activation"], "alpha": p["alpha"], "max_iter": most}
        model = MLPRegressor(hidden_layer_sizes=layers, solver="lbfgs", random_state=0, **given)
        return _error(model, data)

    return value


def _prepared(data: str) -> Callable[[Params], float]:
    """A nested choice: whether to reduce, how, and the model with its own parameters."""

    def value(p: Params) -> float:
        from sklearn.decomposition import PCA
        from sklearn.feature_selection import SelectKBest
        from sklearn.naive_bayes import GaussianNB
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        steps = {
            "none": [],
            "pca": [PCA(p.get("parts"), whiten=p.get("whiten", False), random_state=0)],
            "best": [SelectKBest(k=p.get("best", 1))],
        }[p["reduce"]]
        model = {
            "bayes": lambda: GaussianNB(var_smoothing=p["smoothing"]),
            "neighbors": lambda: KNeighborsClassifier(p["k"], weights=p["weights"]),
            "svm": lambda: LinearSVC(C=p["C"], dual=False, max_iter=200),
        }[p["model"]]()
        return _error(make_pipeline(*steps, model), data)

    return value


def _classifier_space() -> SearchSpace:
    return SearchSpace(
        {
            "model": Categorical(("linear", "neighbors", "tree")),
            "C": Float(1e-5, 1e3, log=True),
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


def _weighted_space(columns: int) -> SearchSpace:
    return SearchSpace(
        {
            **{f"w{i}": Float(0.0, 2.0) for i in range(columns)},
            "alpha": Float(1e-4, 1e2, log=True),
            "gamma": Float(1e-4, 1.0, log=True),
            "kernel": Categorical(("rbf", "laplacian")),
        }
    )


def _prepared_space(columns: int) -> SearchSpace:
    return SearchSpace(
        {
            "reduce": Categorical(("none", "pca", "best")),
            "parts": Int(1, columns),
            "whiten": Categorical((True, False)),
            "best": Int(1, columns),
            "model": Categorical(("bayes", "neighbors", "svm")),
            "smoothing": Float(1e-9, 1.0, log=True),
            "k": Int(1, 40),
            "weights": Categorical(("uniform", "distance")),
            "C": Float(1e-5, 1e3, log=True),
        },
        conditions={
            "parts": {"reduce": ("pca",)},
            "whiten": {"reduce": ("pca",)},
            "best": {"reduce": ("best",)},
            "smoothing": {"model": ("bayes",)},
            "k": {"model": ("neighbors",)},
            "weights": {"model": ("neighbors",)},
            "C": {"model": ("svm",)},
        },
    )


_SVR = SearchSpace(
    {
        "C": Float(1e-3, 1e4, log=True),
        "gamma": Float(1e-5, 10.0, log=True),
        "epsilon": Float(1e-4, 1.0, log=True),
        "kernel": Categorical(("rbf", "sigmoid")),
    }
)
_MARGIN = SearchSpace(
    {
        "C": Float(1e-4, 1e5, log=True),
        "gamma": Float(1e-7, 10.0, log=True),
        "kernel": Categorical(("rbf", "poly", "sigmoid")),
        "coef0": Float(-1.0, 1.0),
        "degree": Int(2, 5),
    }
)
_REGRESSORS = SearchSpace(
    {
        "model": Categorical(("ridge", "svr", "neighbors")),
        "alpha": Float(1e-5, 1e5, log=True),
        "C": Float(1e-3, 1e3, log=True),
        "gamma": Float(1e-5, 10.0, log=True),
        "epsilon": Float(1e-3, 1.0, log=True),
        "k": Int(1, 60),
        "p": Float(1.0, 3.0),
        "weights": Categorical(("uniform", "distance")),
    },
    conditions={
        "alpha": {"model": ("ridge",)},
        **{name: {"model": ("svr",)} for name in ("C", "gamma", "epsilon")},
        **{name: {"model": ("neighbors",)} for name in ("k", "p", "weights")},
    },
)
_TREE_GRID = SearchSpace(
    {
        "max_depth": Int(1, 10),
        "min_samples_leaf": Int(1, 25, step=2),
        "max_features": Float(0.2, 1.0, step=0.2),
        "criterion": Categorical(("squared_error", "absolute_error")),
    }
)
_NEIGHBOR_GRID = SearchSpace(
    {
        "k": Int(1, 20),
        "p": Int(1, 3),
        "weights": Categorical(("uniform", "distance")),
        "parts": Int(4, 40, step=4),
    }
)
_FEATURES = SearchSpace(
    {
        "gamma": Float(1e-5, 10.0, log=True),
        "features": Int(10, 200),
        "alpha": Float(1e-6, 1e4, log=True),
    }
)
_ELASTIC = SearchSpace(
    {
        "alpha": Float(1e-4, 1e3, log=True),
        "ratio": Float(0.0, 1.0),
        "degree": Int(1, 4),
        "iterations": Int(5, 200),
    }
)
_NETWORK = SearchSpace(
    {
        "units": Int(2, 24),
        "activation": Categorical(("relu", "tanh", "logistic")),
        "alpha": Float(1e-7, 1e3, log=True),
        "iterations": Int(5, 60),
    }
)

# The defaults of scikit-learn, cut to the ranges.
_SVR_OWN = {"C": 1.0, "gamma": 0.1, "epsilon": 0.1, "kernel": "rbf"}
_LINEAR_OWN = {"model": "linear", "C": 1.0}
_FEATURES_OWN = {"gamma": 1.0, "features": 100, "alpha": 1.0}
_NETWORK_OWN = {"units": 24, "activation": "relu", "alpha": 1e-4, "iterations": 60}
_PREPARED_OWN = {"reduce": "none", "model": "svm", "C": 1.0}
_TREE_OWN = {"max_depth": 10, "min_samples_leaf": 1, "max_features": 1.0, "criterion": "squared_error"}
_ELASTIC_OWN = {"alpha": 1.0, "ratio": 0.5, "degree": 1, "iterations": 200}
_MARGIN_OWN = {"C": 1.0, "gamma": 1 / 30, "kernel": "rbf", "coef0": 0.0, "degree": 3}


def _weighted_own(columns: int) -> Params:
    return {**{f"w{i}": 1.0 for i in range(columns)}, "alpha": 1.0, "gamma": 1 / columns, "kernel": "rbf"}


CHOOSING: dict[str, Problem] = {
    "svr_friedman": Problem(_SVR, _svr("friedman1"), own=_SVR_OWN),
    "classifiers_wine": Problem(_classifier_space(), _classifiers("wine"), own=_LINEAR_OWN),
    "weighted_diabetes": Problem(_weighted_space(10), _weighted("diabetes"), own=_weighted_own(10)),
    "tree_grid": Problem(_TREE_GRID, _tree_grid, own=_TREE_OWN),
    "noisy_svr": Problem(_SVR, _svr("diabetes"), noise=0.05, own=_SVR_OWN),
    "features_friedman": Problem(_FEATURES, _random_features("friedman1"), own=_FEATURES_OWN),
    "network_diabetes": Problem(_NETWORK, _network("diabetes"), own=_NETWORK_OWN),
    "prepared_blobs": Problem(_prepared_space(12), _prepared("blobs"), own=_PREPARED_OWN),
}
CONFIRMING: dict[str, Problem] = {
    "svm_cancer": Problem(_MARGIN, _margin, own=_MARGIN_OWN),
    "regressors_diabetes": Problem(_REGRESSORS, _regressors, own={"model": "ridge", "alpha": 1.0}),
    "classifiers_moons": Problem(_classifier_space(), _classifiers("moons"), own=_LINEAR_OWN),
    "weighted_wine": Problem(_weighted_space(13), _weighted("wine"), own=_weighted_own(13)),
    "neighbor_grid": Problem(_NEIGHBOR_GRID, _neighbor_grid, own={"k": 5, "p": 2, "weights": "uniform", "parts": 40}),
    "noisy_features": Problem(_FEATURES, _random_features("diabetes"), noise=0.05, own=_FEATURES_OWN),
    "elastic_friedman": Problem(_ELASTIC, _elastic, own=_ELASTIC_OWN),
    "network_friedman": Problem(_NETWORK, _network("friedman2"), own=_NETWORK_OWN),
    "prepared_cancer": Problem(_prepared_space(30), _prepared("breast_cancer"), own=_PREPARED_OWN),
}
