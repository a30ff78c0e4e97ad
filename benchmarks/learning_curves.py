"""Learning curves of really trained models: random points of each library's space, at three lengths of training.

Each set has the validation loss of every iteration, of so many models. Data are scikit-learn's bundled and generated
ones. ``BY_CHOICE`` sets are for choosing a pruner's options, ``TO_CONFIRM`` for looking at what was chosen, once.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

LENGTHS = (30, 100, 300)
_ROWS = 1500
Curve = list[float]
Data = tuple[Any, Any, Any, Any]


def _log(rng: random.Random, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _xgboost(data: Data, length: int, rng: random.Random) -> Curve:
    import xgboost

    x, held, y, wanted = data
    found: dict[str, dict[str, list[float]]] = {}
    told = {
        **{"eta": _log(rng, 0.005, 0.5), "max_depth": rng.randint(2, 10), "subsample": rng.uniform(0.4, 1.0)},
        **{"colsample_bytree": rng.uniform(0.4, 1.0), "min_child_weight": _log(rng, 0.1, 30)},
        **{"lambda": _log(rng, 1e-3, 30), "objective": "multi:softprob", "num_class": int(max(y)) + 1},
        **{"nthread": 1, "seed": rng.randrange(2**31), "eval_metric": "mlogloss", "tree_method": "hist"},
    }
    test = xgboost.DMatrix(held, wanted)
    xgboost.train(told, xgboost.DMatrix(x, y), length, [(test, "v")], evals_result=found, verbose_eval=False)
    return found["v"]["mlogloss"]


def _lightgbm(data: Data, length: int, rng: random.Random) -> Curve:
    import lightgbm

    x, held, y, wanted = data
    found: dict[str, dict[str, list[float]]] = {}
    told = {
        **{"learning_rate": _log(rng, 0.005, 0.5), "num_leaves": rng.randint(4, 96), "verbose": -1},
        **{"min_data_in_leaf": rng.randint(3, 60), "feature_fraction": rng.uniform(0.4, 1.0), "num_threads": 1},
        **{"bagging_fraction": rng.uniform(0.4, 1.0), "bagging_freq": 1, "lambda_l2": _log(rng, 1e-3, 30)},
        **{"objective": "multiclass", "num_class": int(max(y)) + 1, "seed": rng.randrange(2**31)},
    }
    known = lightgbm.Dataset(x, y)
    lightgbm.train(
        told, known, length, [lightgbm.Dataset(held, wanted, reference=known)], ["v"],
        callbacks=[lightgbm.record_evaluation(found)],
    )  # fmt: skip
    return found["v"]["multi_logloss"]


def _catboost(data: Data, length: int, rng: random.Random) -> Curve:
    import catboost

    x, held, y, wanted = data
    model = catboost.CatBoostClassifier(
        iterations=length,
        learning_rate=_log(rng, 0.005, 0.5),
        depth=rng.randint(2, 8),
        l2_leaf_reg=_log(rng, 0.1, 30),
        random_strength=_log(rng, 0.01, 10),
        bagging_temperature=rng.uniform(0, 2),
        loss_function="MultiClass",
        random_seed=rng.randrange(2**31),
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
        use_best_model=False,
    )
    model.fit(x, y, eval_set=(held, wanted))
    return list(model.get_evals_result()["validation"]["MultiClass"])


def _network(data: Data, length: int, rng: random.Random) -> Curve:
    model = MLPClassifier(
        (rng.choice((8, 16, 32, 64)),) * rng.choice((1, 2)),
        learning_rate_init=_log(rng, 1e-4, 0.1),
        alpha=_log(rng, 1e-6, 1.0),
        batch_size=rng.choice((32, 64, 128)),
        solver=rng.choice(("adam", "sgd")),
        random_state=rng.randrange(2**31),
    )
    return _by_parts(model, data, length)


def _linear(data: Data, length: int, rng: random.Random) -> Curve:
    model = SGDClassifier(
        loss="log_loss",
        penalty=rng.choice(("l2", "l1", "elasticnet")),
        alpha=_log(rng, 1e-6, 0.1),
        learning_rate=rng.choice(("constant", "invscaling", "optimal")),
        eta0=_log(rng, 1e-4, 1.0),
        random_state=rng.randrange(2**31),
    )
    return _by_parts(model, data, length)


def _by_parts(model: Any, data: Data, length: int) -> Curve:
    """One pass over the data for each step."""
    x, held, y, wanted = data
    classes, found = np.unique(y), []
    for _ in range(length):
        model.partial_fit(x, y, classes=classes)
        found.append(
            float(log_loss(wanted, np.nan_to_num(model.predict_proba(held), nan=1 / len(classes)), labels=classes))
        )
    return found


def _data(name: str, seed: int) -> Data:
    if name == "digits":
        x, y = datasets.load_digits(return_X_y=True)
    elif name == "cancer":
        x, y = datasets.load_breast_cancer(return_X_y=True)
    else:
        x, y = datasets.make_classification(
            _ROWS, 20, n_informative=8, n_classes=3, flip_y=0.05, class_sep=0.8, random_state=seed
        )
    x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    parts = train_test_split(x, y, test_size=0.33, random_state=seed, stratify=y)
    return parts[0], parts[1], parts[2], parts[3]


_LIBRARIES: Mapping[str, Callable[[Data, int, random.Random], Curve]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "network": _network,
    "linear": _linear,
}
_DATA = ("made", "cancer", "digits")
SETS = tuple(
    f"{library} {_DATA[(n + m) % len(_DATA)]} {length}"
    for n, library in enumerate(_LIBRARIES)
    for m, length in enumerate(LENGTHS)
)
BY_CHOICE, TO_CONFIRM = SETS[::2], SETS[1::2]


def curves(name: str, models: int) -> Sequence[Curve]:
    """The curves of one set, ``LIBRARY DATA LENGTH``; the same ones each time."""
    library, data, length = name.split()
    rng, known = random.Random(name), _data(data, len(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [list(map(float, _LIBRARIES[library](known, int(length), rng))) for _ in range(models)]
