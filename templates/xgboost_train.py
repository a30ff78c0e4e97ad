"""Train an XGBoost model on a table and log it to ClearML: a template for hyperparameter studies.

    python templates/xgboost_train.py                            # logs to the ClearML server that is configured
    python templates/xgboost_train.py data=my.csv target=price   # other values than the defaults
    CLEARML_OFFLINE_MODE=1 python templates/xgboost_train.py     # no server

Every entry of ``PARAMETERS`` is a hyperparameter of the task (``General/learning_rate``, ...): clone the task, change
values, enqueue it. Scalars are ``validation/<metric>`` and ``train/<metric>`` at each iteration; the metrics of the
kept model are single values ``validation_<metric>``; the model is an output model of the task. templates/README.md of
clearml-hpo has the rest.

This file needs clearml, xgboost, scikit-learn and pandas, and no other file, so that any agent can run it.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import importlib.util
import itertools
import json
import math
import os
import re
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xgboost
from clearml import Dataset, Logger, OutputModel, Task
from clearml.config import config
from pandas.api.types import infer_dtype, is_integer_dtype, is_numeric_dtype

# No default is None: a value that was changed on the server arrives as text and is cast to the type of its default.
PARAMETERS: dict[str, Value] = {
    # Data
    "data": "breast_cancer",  # set of scikit-learn (see BUNDLED), CSV or Parquet file, or id of a ClearML dataset
    "data_file": "",  # file in the ClearML dataset; empty: the only one
    "target": "",  # column; empty: the last one
    "problem": "auto",  # auto, binary, multiclass, regression, ranking
    "id_column": "",
    "weight_column": "",
    "time_column": "",  # numbers or dates that order the rows; holdout takes the latest
    "group_column": "",  # rows of a group stay on one side of the split; the queries of a ranking
    "categorical_columns": "",  # comma separated; those that are not numbers are categorical anyway
    "ignored_columns": "",  # comma separated
    "test_data": "",  # file of rows to predict for submission.csv
    # How CSV files are written
    "separator": "auto",  # auto, tab, or the character
    "decimal": ".",
    "thousands": "",  # empty: none
    "missing_values": "",  # comma separated: texts that are holes, such as ?,n.a.
    # Validation
    "validation": "holdout",  # holdout, kfold, stratified, group, time
    "validation_fraction": 0.2,  # of holdout
    "folds": 5,  # of the others
    "split_seed": 0,
    # Training
    "loss": "auto",  # any objective of XGBoost
    "metrics": "auto",  # comma separated, see METRICS; the first one decides on early stopping and the kept model
    "iterations": 200,  # those of the training that it goes on from included
    "continue_from": "",  # id of the task whose checkpoint this training goes on from
    "early_stopping_rounds": 50,  # 0: off
    "class_weights": "none",  # none, balanced, sqrt_balanced
    "seed": 0,
    # What is kept
    "save_checkpoint": False,  # an artifact from which another training goes on
    "upload_model": True,
    "upload_predictions": True,
    "submission": "labels",  # labels, probabilities
    # Where it runs
    "device": "auto",  # auto, cpu, gpu
    "gpu_devices": "0",  # counted among the visible ones; XGBoost takes one
    "thread_count": 0,  # -1: all cores; 0: OMP_NUM_THREADS, which workers set, else 2: small tables gain no more
    # XGBoost's own, under its own names
    "booster": "gbtree",  # gbtree, dart, gblinear
    "learning_rate": 0.1,
    "reg_alpha": 0.0,
    "reg_lambda": 1.0,
    "scale_pos_weight": 1.0,  # binary only
    "tree_method": "hist",  # hist, approx, exact (CPU); trees (gbtree, dart) only, down to max_cat_threshold
    "max_depth": 6,  # 0: no limit
    "min_child_weight": 1.0,
    "gamma": 0.0,
    "max_delta_step": 0.0,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "colsample_bylevel": 1.0,
    "colsample_bynode": 1.0,
    "num_parallel_tree": 1,
    "max_bin": 256,  # hist and approx only, as the next four
    "grow_policy": "depthwise",  # depthwise, lossguide
    "max_leaves": 0,  # 0: no limit
    "max_cat_to_onehot": 4,
    "max_cat_threshold": 64,
    "sample_type": "uniform",  # uniform, weighted; dart only, as the next four
    "normalize_type": "tree",  # tree, forest
    "rate_drop": 0.1,
    "one_drop": False,
    "skip_drop": 0.5,
    "updater": "coord_descent",  # coord_descent, shotgun; gblinear only, as the next two
    "feature_selector": "cyclic",  # cyclic, shuffle; coord_descent: also random, greedy, thrifty
    "top_k": 0,  # greedy and thrifty only; 0: all
}

LIBRARY = "XGBoost"
LIBRARY_ERRORS = (xgboost.core.XGBoostError,)
SOURCES = "XGBoost and scikit-learn"
TASK_NAME = "xgboost"
MODEL_SUFFIX = ".ubj"
NOISE = r"^\[[\d:]+\] \S+:\d+: (?:Check failed: .*?: )?"  # time and source line in front of XGBoost's messages

LOSSES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
    "ranking": "rank:ndcg",
}
# Series of the scalars -> metric of XGBoost
METRICS: dict[str, dict[str, str]] = {
    "binary": {"logloss": "logloss", "auc": "auc"},
    "multiclass": {"logloss": "mlogloss", "auc": "auc"},
    "regression": {"rmse": "rmse", "mae": "mae", "mape": "mape"},
    "ranking": {"ndcg": "ndcg", "map": "map"},  # ndcg@10 is ndcg of the first ten; map needs targets of 0 and 1
}
# All of XGBoost's metrics, which take a number behind @; whether more is better
OWN_METRICS = {
    **dict.fromkeys(("auc", "aucpr", "pre", "ndcg", "map"), True),
    **dict.fromkeys(("rmse", "rmsle", "mae", "mape", "mphe", "logloss", "error", "merror", "mlogloss"), False),
    **dict.fromkeys(("poisson-nloglik", "gamma-nloglik", "cox-nloglik", "tweedie-nloglik", "gamma-deviance"), False),
    **dict.fromkeys(("quantile", "expectile", "aft-nloglik", "interval-regression-accuracy"), False),
}
# Series of the scalars -> scorer of scikit-learn and its sign, where the library does not measure the metric itself
SCORERS: dict[str, dict[str, tuple[str, int]]] = {
    "binary": {
        "logloss": ("neg_log_loss", -1),
        "auc": ("roc_auc", 1),
        "accuracy": ("accuracy", 1),
        "balanced_accuracy": ("balanced_accuracy", 1),
        "f1": ("f1", 1),
        "precision": ("precision", 1),
        "recall": ("recall", 1),
        "mcc": ("matthews_corrcoef", 1),
    },
    "multiclass": {
        "logloss": ("neg_log_loss", -1),
        "auc": ("roc_auc_ovr", 1),
        "accuracy": ("accuracy", 1),
        "balanced_accuracy": ("balanced_accuracy", 1),
        "f1_macro": ("f1_macro", 1),
        "f1_weighted": ("f1_weighted", 1),
        "mcc": ("matthews_corrcoef", 1),
    },
    "regression": {
        "rmse": ("neg_root_mean_squared_error", -1),
        "mae": ("neg_mean_absolute_error", -1),
        "r2": ("r2", 1),
        "mape": ("neg_mean_absolute_percentage_error", -1),
        "median_absolute_error": ("neg_median_absolute_error", -1),
    },
    "ranking": {},
}
DEFAULT_METRICS = {
    "binary": "logloss,auc,accuracy",
    "multiclass": "logloss,accuracy",
    "regression": "rmse,mae,r2",
    "ranking": "ndcg@10,ndcg",
}

ALWAYS_PASSED = ("booster", "learning_rate", "reg_alpha", "reg_lambda")
OF_TREES = (
    *("tree_method", "max_depth", "min_child_weight", "gamma", "max_delta_step", "subsample", "num_parallel_tree"),
    *("colsample_bytree", "colsample_bylevel", "colsample_bynode"),
)
# XGBoost warns of a parameter that its booster, tree method or device has no use for.
PASSED_BY_BOOSTER: dict[str, tuple[str, ...]] = {
    "gbtree": OF_TREES,
    "dart": (*OF_TREES, "sample_type", "normalize_type", "rate_drop", "one_drop", "skip_drop"),
    "gblinear": ("updater", "feature_selector", "top_k"),
}
OF_HISTOGRAMS = ("max_bin", "grow_policy", "max_leaves", "max_cat_to_onehot", "max_cat_threshold")
PASSED_BY_METHOD: dict[str, tuple[str, ...]] = {"hist": OF_HISTOGRAMS, "approx": OF_HISTOGRAMS, "exact": ()}
PASSED_BY_PROBLEM: dict[str, tuple[str, ...]] = {"binary": ("scale_pos_weight",)}


# --- What XGBoost is told --------------------------------------------------------------------------------------------


def settings_of(params: Mapping[str, Any], table: Table, metrics: Sequence[Metric]) -> dict[str, Any]:
    """Translate the task's parameters into XGBoost's, leaving out those that do not apply."""
    booster = one_of("booster", params["booster"], PASSED_BY_BOOSTER)
    method = one_of("tree_method", params["tree_method"], PASSED_BY_METHOD)
    passed = (
        *(*ALWAYS_PASSED, *PASSED_BY_BOOSTER[booster], *PASSED_BY_PROBLEM.get(table.problem, ())),
        *(PASSED_BY_METHOD[method] if booster != "gblinear" else ()),
    )
    settings = {name: params[name] for name in passed}
    if table.problem == "multiclass":
        settings["num_class"] = len(table.classes)
    return settings | {
        "objective": {"auto": LOSSES[table.problem], "multi:softmax": "multi:softprob"}.get(
            params["loss"], params["loss"]
        ),
        "eval_metric": [metric.own for metric in metrics if metric.own],
        "disable_default_eval_metric": True,
        "seed": params["seed"],
        "nthread": thread_count(params["thread_count"]),
        "device": device_of(params),
        "verbosity": 1,
    }


def device_of(params: Mapping[str, Any]) -> str:
    """Return XGBoost's name of the device; linear models train on CPUs."""
    if params["device"] == "cpu" or params["booster"] == "gblinear":
        return "cpu"
    if not params["gpu_devices"].isdecimal():
        raise InputError(f"General/gpu_devices: {params['gpu_devices']!r} is not the number of one GPU")
    return f"cuda:{params['gpu_devices']}"


def matrix_of(table: Table, rows: np.ndarray, weight: np.ndarray | None) -> xgboost.DMatrix:
    """Give rows to XGBoost, which takes missing numbers as they are; of a ranking it wants one weight per query."""
    group = table.group[rows] if table.group is not None and table.problem == "ranking" else None
    if group is not None and weight is not None:
        weight = weight[np.flatnonzero(np.diff(group, prepend=-1))]
    return features_of(table.features.iloc[rows], label=table.target.iloc[rows], weight=weight, qid=group)


def features_of(features: pd.DataFrame, **others: Any) -> xgboost.DMatrix:
    """Give features to XGBoost."""
    plain = features.set_axis(plain_names(features), axis="columns")
    return xgboost.DMatrix(plain, enable_categorical=True, **others)


def plain_names(features: pd.DataFrame) -> list[str]:
    """Return the columns' names without the brackets that XGBoost refuses."""
    return [re.sub(r"[\[\]<]", "_", name) for name in features]


# --- Training --------------------------------------------------------------------------------------------------------


class Follower(xgboost.callback.TrainingCallback):
    """Reports every metric after each iteration."""

    def __init__(self, progress: Progress, metrics: Sequence[Metric], done: int) -> None:
        self._progress = progress
        self._metrics = metrics
        self._done = done

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: Any) -> bool:
        """Take the newest value of each metric; True ends the training."""
        validation = {metric.series: evals_log["validation"][_key(metric)][-1] for metric in self._metrics}
        return self._progress.after(self._done + epoch, validation, evals_log["train"][_key(self._metrics[0])][-1])


def _key(metric: Metric) -> str:
    return metric.own or metric.series


def fit(table: Table, sides: Split, params: Mapping[str, Any], scalars: Scalars) -> Fitted:
    """Train one model."""
    metrics, is_cut = scalars.metrics, params["booster"] == "gbtree"  # others change earlier iterations later
    weights = table.weights(sides[0], params["class_weights"]), table.weights(sides[1], "none")
    train, validation = (matrix_of(table, rows, weight) for rows, weight in zip(sides, weights, strict=True))

    def measure(predictions: np.ndarray, matrix: xgboost.DMatrix) -> list[tuple[str, float]]:
        side = int(matrix is validation)
        target, shown = table.target.to_numpy()[sides[side]], as_matrix(predictions, table.problem)
        wanted = [metric for metric in (metrics if side else metrics[:1]) if metric.scorer]
        return [(metric.series, score(metric, table.problem, target, shown, weights[side])) for metric in wanted]

    booster = xgboost.train(
        settings_of(params, table, metrics),
        train,
        params["iterations"] - scalars.done,
        evals=[(train, "train"), (validation, "validation")],
        custom_metric=measure,
        callbacks=[
            Follower(Progress(scalars, params["early_stopping_rounds"] if is_cut else 0), metrics, scalars.done)
        ],
        verbose_eval=False,
        xgb_model=scalars.before or None,
    )
    best = scalars.best_iteration if is_cut else scalars.last_iteration()
    model = booster[: best + 1] if is_cut else booster
    print(f"{best + 1} iterations kept")
    kind = "weight" if params["booster"] == "gblinear" else "total_gain"
    found = model.get_score(importance_type=kind)
    return Fitted(
        best,
        lambda features: as_matrix(model.predict(features_of(features)), table.problem),
        np.array([np.abs(found.get(name, 0.0)).sum() for name in plain_names(table.features)]),
        model.save_model,
        booster.save_model,
    )


# --- Metrics ---------------------------------------------------------------------------------------------------------


def own_metric(name: str, problem: str) -> Metric | None:
    """Return a metric that XGBoost measures."""
    base, at, top = name.partition("@")
    if own := METRICS[problem].get(base if problem == "ranking" else name):
        return Metric(name, own + at + top, maximize=OWN_METRICS[own])
    is_own = base in OWN_METRICS and name not in SCORERS[problem]
    return Metric(name, name, maximize=OWN_METRICS[base]) if is_own else None


# --- Where it runs ---------------------------------------------------------------------------------------------------


def visible_gpus() -> int:
    """Count the GPUs that the driver shows, which are those that CUDA_VISIBLE_DEVICES lets through."""
    if not xgboost.build_info()["USE_CUDA"]:
        return 0
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    return count.value if cuda.cuInit(0) == cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


def choose_device(params: Mapping[str, Any]) -> str:
    """Return ``gpu`` if there is one and it is not ruled out, else ``cpu``."""
    wanted = one_of("device", params["device"], ("auto", "cpu", "gpu"))
    count = visible_gpus() if wanted != "cpu" else 0
    if wanted == "gpu" and count == 0:
        raise InputError(f"General/device: no GPU is visible on {socket.gethostname()}, or {LIBRARY} is built without")
    return "gpu" if count else "cpu"


# --- Scalars ---------------------------------------------------------------------------------------------------------


class Progress:
    """Takes the metrics of each iteration, and says when none has been better for long enough."""

    def __init__(self, scalars: Scalars, rounds: int) -> None:
        self._scalars = scalars
        self._rounds = rounds

    def after(self, iteration: int, validation: Mapping[str, float], train: float) -> bool:
        """Take the validation metrics by series and the first one of the training rows; True ends the training."""
        for metric in self._scalars.metrics:
            self._scalars.report("validation", metric, validation[metric.series], iteration)
        self._scalars.report("train", self._scalars.metrics[0], train, iteration)
        return 0 < self._rounds <= iteration - self._scalars.best_iteration


# === Common to all templates: edit it in catboost_train.py; `make format` copies it to the others ====================

Value = bool | int | float | str

BUNDLED = ("breast_cancer", "iris", "wine", "digits", "diabetes")
# The file of those that scikit-learn keeps as plain CSV
BUNDLED_FILES = {"breast_cancer": "breast_cancer.csv", "iris": "iris.csv", "wine": "wine_data.csv"}
FILE_TYPES = {".csv": "CSV", ".parquet": "Parquet", ".pq": "Parquet"}
COMPRESSED = (".gz", ".bz2", ".zip", ".xz", ".zst")  # CSV files whose encoding and separator are not looked at
ENCODINGS = ("utf-8", "cp1252", "latin-1")  # the first one that fits; the last one always does
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
HOLES = ("", "nan", "NaN", "-nan", "-NaN", "#N/A", "#NA", "<NA>")
WORDS = ("NA", "N/A", "n/a", "None", "null", "NULL")  # holes among numbers; elsewhere they may be names
# Texts that would be numbers -> what makes numbers of them
NOTATIONS = {
    r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?": "set thousands=,",
    r"[-+]?\d*,\d+": "set decimal=,",
    r"[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?": "set decimal=, and thousands=.",
    r"[-+]?[\d.,]+\s*[%€$£]|[%€$£]\s*[-+]?[\d.,]+": "take the sign out of the file",
}
ROLES = ("id", "weight", "time", "group")  # General/id_column, ...
MOST_CLASSES = 50  # whole numbers with more distinct values than this are taken for a regression
MOST_FEATURES = 50  # in the plot of importances; the table has all
MOST_NAMED = 10  # columns in a line of the console
CLASS_WEIGHTS = {"none": 0.0, "balanced": 1.0, "sqrt_balanced": 0.5}  # power of a class's rarity


class InputError(Exception):
    """What the user gave cannot be trained on; the message is the task's reason for failing."""


# --- Parameters ------------------------------------------------------------------------------------------------------


def typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Bring every parameter to the type of its default; those not given keep the default."""
    return {name: _cast(name, given.get(name, default), default) for name, default in PARAMETERS.items()}


def _cast(name: str, value: Any, default: Value) -> Value:
    if isinstance(default, str):
        return "" if value is None else str(value)
    if isinstance(default, bool):
        return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1", "yes")
    kind = type(default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"General/{name}: {value!r} is not a number ({kind.__name__} expected)") from None
    if kind is int and not number.is_integer():
        raise InputError(f"General/{name}: {value!r} is not a whole number")
    return kind(number)


def by_hand(arguments: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` from the command line."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    for name in given.keys() - PARAMETERS.keys():
        near = "".join(f" (did you mean {match}?)" for match in get_close_matches(name, PARAMETERS, n=1))
        raise InputError(f"unknown parameter {name!r}{near}; give name=value")
    return given


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """Return the value if it is allowed, else say what is."""
    if value not in allowed:
        raise InputError(f"General/{name}: {value!r} is none of {', '.join(allowed)}")
    return value


def listed(text: str) -> list[str]:
    """Take names separated by commas apart."""
    return [part.strip() for part in text.split(",") if part.strip()]


# --- Data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Rows to learn from.

    ``classes`` are the labels by their code in ``target``, empty if that has numbers; ``group`` has codes, ``time`` the
    rows' places in time. Categorical features have pandas' type for them, without holes. ``test`` has the same columns.
    """

    features: pd.DataFrame
    target: pd.Series
    problem: str
    classes: tuple[str, ...]
    ids: pd.Series
    weight: np.ndarray | None = None
    time: np.ndarray | None = None
    group: np.ndarray | None = None
    test: pd.DataFrame | None = None
    test_ids: pd.Series | None = None

    @property
    def categorical(self) -> list[str]:
        """Names of the categorical columns."""
        return list(self.features.select_dtypes("category"))

    def weights(self, rows: np.ndarray, class_weights: str) -> np.ndarray | None:
        """Weigh training rows, also by the rarity of their class; None if all weigh the same."""
        power = CLASS_WEIGHTS[one_of("class_weights", class_weights, CLASS_WEIGHTS)]
        given = None if self.weight is None else self.weight[rows]
        if not power or not self.classes:
            return given
        codes, own = self.target.to_numpy()[rows], np.ones(len(rows)) if given is None else given
        totals = np.bincount(codes, own, len(self.classes))
        return own * (totals.sum() / len(totals) / totals[codes]) ** power


def load_table(params: Mapping[str, Any]) -> Table:
    """Read features and target, and what the other columns are for."""
    data, problem = params["data"], one_of("problem", params["problem"], ("auto", *METRICS))
    folder = dataset_folder(data)
    frame = read_bundled(data) if data in BUNDLED else read_file(data_file(data, folder, params["data_file"]), params)
    name = target_column(frame, params["target"], data)
    check_target(frame[name], name, data, problem)
    frame = with_target(frame, name)
    roles = {role: column_of(frame, role, params[f"{role}_column"], data) for role in ROLES}
    problem = detect_problem(frame[name]) if problem == "auto" else problem
    if problem == "ranking":
        if not roles["group"]:
            raise InputError("General/group_column: a ranking needs the column that tells its queries apart")
        frame = frame.sort_values(roles["group"], kind="stable")
    ids = frame[roles["id"]] if roles["id"] else pd.Series(frame.index, name="row")
    frame = frame.reset_index(drop=True)
    target, classes = encode_target(frame[name], problem, name)
    ignored = [column_of(frame, "ignored", each, data) for each in listed(params["ignored_columns"])]
    features = with_values(frame.drop(columns=[name, *filter(None, roles.values()), *ignored]))
    if features.empty:
        raise InputError(f"{data}: no column is left beside the target {name!r}")
    test = read_test(params, folder, features)
    features, encoded = encode_features(features, test, listed(params["categorical_columns"]), data)
    return Table(
        features,
        target,
        problem,
        classes,
        whole_numbers(ids),
        weight=weights_of(frame, roles["weight"]),
        time=places_of(frame, roles["time"]),
        group=groups_of(frame, roles["group"]),
        test=encoded,
        test_ids=None if test is None else test_ids(test, roles["id"], params["test_data"]),
    )


def with_target(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows that have a target, and print how many have none."""
    known = frame[name].notna()
    if not known.all():
        print(f"{(~known).sum()} of {len(frame)} rows have no value for the target {name!r} and are left out")
    return frame[known]


def with_values(features: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that have values, and print which have none."""
    empty = [column for column in features if features[column].isna().all()]
    if empty:
        print(f"columns without a value, left out: {some(empty)}")
    return features.drop(columns=empty)


def read_bundled(name: str) -> pd.DataFrame:
    """Read a data set of scikit-learn, with the target as its last column.

    Importing scikit-learn takes 0.7 s, a third of a short trial, so the CSV file inside the package is read instead
    where there is one.
    """
    file = _bundled_file(name)
    if file is not None:
        frame = pd.read_csv(file, skiprows=1, header=None)
    else:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        frame = pd.DataFrame(np.column_stack([bunch.data, bunch.target]))
    return frame.set_axis([*(f"x{i}" for i in range(frame.shape[1] - 1)), "target"], axis="columns")


def _bundled_file(name: str) -> Path | None:
    package = importlib.util.find_spec("sklearn")  # looks the package up without importing it
    if name not in BUNDLED_FILES or package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "datasets" / "data" / BUNDLED_FILES[name]
    return file if file.is_file() else None


def dataset_folder(data: str) -> Path | None:
    """Fetch a ClearML dataset, if ``data`` is the id of one."""
    if not re.fullmatch("[0-9a-f]{32}", data):
        return None
    try:
        return Path(Dataset.get(dataset_id=data).get_local_copy())
    except Exception as error:  # the SDK raises what its many parts raise
        raise InputError(f"General/data: no dataset {data} on the ClearML server: {reason_of(error)}") from None


def data_file(data: str, folder: Path | None, wanted: str) -> Path:
    """Return the file that ``data`` names, itself or as a dataset."""
    if folder is None:
        return Path(data).expanduser()
    if wanted:
        return folder / wanted
    found = sorted(file for file in folder.rglob("*") if file.suffix in FILE_TYPES)
    if len(found) != 1:
        names = ", ".join(str(file.relative_to(folder)) for file in found) or "none"
        raise InputError(f"General/data_file: name one of the tables of the dataset {data}: {names}")
    return found[0]


def read_file(file: Path, params: Mapping[str, Any], parameter: str = "data") -> pd.DataFrame:
    """Read a CSV or Parquet file; say on which machine it is missing, as an agent may run anywhere."""
    if not file.is_file():
        near = "".join(f" (did you mean {name}?)" for name in get_close_matches(str(file), BUNDLED, n=1))
        raise InputError(f"General/{parameter}: no file {file.absolute()} on {socket.gethostname()}{near}")
    kind = FILE_TYPES.get(file.suffix, "CSV")
    try:
        frame = pd.read_parquet(file) if kind == "Parquet" else read_csv(file, params)
    except ImportError:
        raise InputError(f"{file}: pandas needs the package pyarrow to read Parquet files") from None
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{file}: not a readable {kind} file: {reason_of(error)}") from None
    return frame.set_axis(frame.columns.map(str), axis="columns")


def read_csv(file: Path, params: Mapping[str, Any]) -> pd.DataFrame:
    """Read a CSV file, whose encoding and separator are recognised; ids and categories keep their text.

    Spaces around names and texts do not count.
    """
    encoding = encoding_of(file)
    separator = {"auto": "", "tab": "\t"}.get(params["separator"], params["separator"])
    separator = separator or separator_of(file, encoding)
    holes = [*HOLES, *listed(params["missing_values"])]
    kept = [params["id_column"], *listed(params["categorical_columns"])]

    def read(na_values: Any, **which: Any) -> pd.DataFrame:
        return pd.read_csv(
            file,
            sep=separator,
            encoding=encoding,
            decimal=params["decimal"],
            thousands=params["thousands"] or None,
            keep_default_na=False,
            na_values=na_values,
            dtype=dict.fromkeys(kept, str),
            index_col=False,  # else the first column would be taken for an index where rows end with a separator
            skipinitialspace=True,
            low_memory=False,
            **which,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = read(holes)
            texts = [name for name in frame if name not in kept and not is_numeric_dtype(frame[name])]
            worded = [name for name in texts if frame[name].isin(WORDS).any()]
            again = read({name: [*holes, *WORDS] for name in worded}, usecols=worded) if worded else frame[:0]
        except pd.errors.ParserWarning:
            raise InputError(f"{file}: a row has more values than the first line has names") from None
    for name in texts:
        frame[name] = number_or_text(frame[name], again[name] if name in worded else frame[name])
    return frame.set_axis(frame.columns.str.strip(), axis="columns")


def number_or_text(column: pd.Series, without_words: pd.Series) -> pd.Series:
    """Return numbers if the column has nothing else once ``WORDS`` are holes, else its texts without outer spaces."""
    numbers = pd.to_numeric(without_words, errors="coerce")
    are_all = numbers.notna().any() and numbers.notna().equals(without_words.notna())
    if are_all and infer_dtype(without_words) != "boolean":
        return numbers
    return column.str.strip() if infer_dtype(without_words, skipna=True) == "string" else column


def encoding_of(file: Path) -> str:
    """Return the first encoding that the whole file has."""
    if file.suffix in COMPRESSED:
        return ENCODINGS[0]
    with file.open("rb") as opened:
        if opened.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
    for encoding in ENCODINGS:
        with contextlib.suppress(UnicodeDecodeError), file.open(encoding=encoding) as text:
            while text.read(1 << 20):
                pass
            if encoding != ENCODINGS[0]:
                print(f"{file.name} is not UTF-8: read as {encoding}")
            return encoding
    raise AssertionError("the last encoding fits any file")


def separator_of(file: Path, encoding: str) -> str:
    """Return the first separator that cuts the first rows into equally many values."""
    if file.suffix in COMPRESSED:
        return ","
    for separator, name in SEPARATORS.items():
        with file.open(encoding=encoding, newline="") as text, contextlib.suppress(csv.Error):
            sizes = {len(row) for row in itertools.islice(csv.reader(text, delimiter=separator), 20) if row}
            if len(sizes) == 1 and sizes != {1}:
                if separator != ",":
                    print(f"{file.name}: values are separated by a {name}")
                return separator
    return ","


def some(names: Sequence[str]) -> str:
    """List the names, not too many of them."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def why_text(values: pd.Series) -> str:
    """Say what keeps a column of text from being numbers; empty if it has few or none."""
    known = values.dropna().astype(str).str.strip()
    odd = known[pd.to_numeric(known, errors="coerce").isna()]
    if odd.empty:
        return "numbers that the file has as text"
    for notation, cure in NOTATIONS.items():
        if odd.str.fullmatch(notation).all():
            return f"numbers such as {odd.iloc[0]!r}: {cure}"
    if len(odd) > len(known) / 2:
        return ""
    few = sorted(odd.unique())[:3]
    shown = ", ".join(map(repr, few))
    return f"{len(odd)} of {len(known)} values are no numbers: {shown}; set missing_values={','.join(few)} for holes"


def column_of(frame: pd.DataFrame, role: str, wanted: str, data: str) -> str:
    """Return the name of the column that has the role; say what is near if there is none."""
    if wanted and wanted not in frame:
        names = list(frame)
        shown = get_close_matches(wanted, names, n=3) or names[-3:]
        parameter = role if role == "target" else f"{role}_columns" if role not in ROLES else f"{role}_column"
        raise InputError(f"General/{parameter}: {data} has no column {wanted!r}; it has {', '.join(shown)}, ...")
    return wanted


def target_column(frame: pd.DataFrame, wanted: str, data: str) -> str:
    """Return the name of the target's column: the one wanted, or the last."""
    return column_of(frame, "target", wanted, data) or str(frame.columns[-1])


def check_target(values: pd.Series, name: str, data: str, problem: str) -> None:
    """Refuse a target from which nothing can be learnt, or what is wrong; say which classes may be holes."""
    known = values.dropna()
    if known.empty:
        raise InputError(f"{data}: no row has a value for the target {name!r}")
    if known.nunique() < 2:
        raise InputError(f"{data}: the target {name!r} is constant: every row has {known.iloc[0]}")
    if is_numeric_dtype(known):
        check_numbers(known, f"{data}: the target {name!r}")
    elif problem in ("auto", "regression", "ranking"):
        reason = why_text(known) if known.nunique() > MOST_CLASSES or problem != "auto" else ""
        if reason:
            raise InputError(f"{data}: the target {name!r} has {reason} (or problem=multiclass, if these are classes)")
    for word in WORDS:
        count = int((known.astype(str) == word).sum())
        if count:
            print(f"the target {name!r} has the class {word!r} in {count} rows; set missing_values={word} for holes")


def check_numbers(known: pd.Series, what: str) -> None:
    """Refuse a target that libraries cannot learn, as they take it: in single precision."""
    with np.errstate(over="ignore"):
        single = known.to_numpy(dtype=float).astype(np.float32)
    infinite = known.index[np.isinf(single)]
    if len(infinite):
        first = f"row {infinite[0]} (from 0) has {known[infinite[0]]}"
        raise InputError(f"{what} is infinite or beyond 3e38 in {len(infinite)} rows: {first}")
    if len(np.unique(single)) < 2:
        raise InputError(f"{what} is constant to seven digits, which is what libraries take")


def detect_problem(values: pd.Series) -> str:
    """Guess from the target: fractions, or many distinct numbers, make a regression; the rest are classes."""
    count = values.nunique()
    if count == 2:
        return "binary"
    if not is_numeric_dtype(values):
        return "multiclass"
    whole = bool((values == values.round()).all())
    return "multiclass" if whole and count <= MOST_CLASSES else "regression"


def encode_target(values: pd.Series, problem: str, name: str) -> tuple[pd.Series, tuple[str, ...]]:
    """Turn classes into codes from 0 on, in the order of their labels; leave numbers alone."""
    if problem in ("regression", "ranking"):
        if not is_numeric_dtype(values):
            raise InputError(f"the target {name!r} is not numeric: no {problem} on it")
        return values.astype(float), ()
    codes, labels = pd.factorize(values, sort=True)
    if problem == "binary" and len(labels) != 2:
        raise InputError(f"the target {name!r} has {len(labels)} classes: not a binary problem")
    return pd.Series(codes, name=name), tuple(text_of(label) for label in labels)


def text_of(value: object) -> str:
    """Write a class or category; a whole number reads the same if holes in its column have made it a fraction."""
    return str(int(value)) if isinstance(value, (float, np.floating)) and value.is_integer() else str(value)


def weights_of(frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """Return the rows' weights."""
    if not name:
        return None
    weights = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)
    if not (weights >= 0).all() or not weights.any():
        raise InputError(f"General/weight_column: {name!r} has values that are missing, negative or no numbers")
    return weights


def groups_of(frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """Return the numbers of the rows' groups."""
    if not name:
        return None
    if frame[name].isna().any():
        raise InputError(f"General/group_column: {name!r} has missing values")
    return pd.factorize(frame[name])[0]


def places_of(frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """Return how many rows are before each one in time; text is read as ISO dates."""
    if not name:
        return None
    values = frame[name]
    if not is_numeric_dtype(values):
        values = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    if values.isna().any():
        raise InputError(f"General/time_column: {name!r} has values that are missing, or neither numbers nor ISO dates")
    return values.rank(method="min").to_numpy(dtype=int) - 1


def read_test(params: Mapping[str, Any], folder: Path | None, features: pd.DataFrame) -> pd.DataFrame | None:
    """Read the rows to predict, from a file of its own or one of the dataset."""
    path = params["test_data"]
    if not path:
        return None
    file = Path(path).expanduser()
    test = read_file(folder / path if folder and not file.is_file() else file, params, "test_data")
    missing = [name for name in features if name not in test]
    if missing:
        raise InputError(f"General/test_data: {path} lacks the column {missing[0]!r}, which the training has")
    return test


def test_ids(test: pd.DataFrame, name: str, path: str) -> pd.Series:
    """Return what identifies the rows to predict: the id column, or the row's number."""
    if name and name not in test:
        raise InputError(f"General/test_data: {path} lacks the id column {name!r}")
    return whole_numbers(test[name]) if name else pd.Series(np.arange(len(test)), name="id")


def whole_numbers(ids: pd.Series) -> pd.Series:
    """Make numbers of ids if these are written as the texts are: 7, and not 007."""
    numbers = pd.to_numeric(ids, errors="coerce", downcast="integer")
    return numbers if is_integer_dtype(numbers) and (numbers.astype(str) == ids.astype(str)).all() else ids


def encode_features(
    features: pd.DataFrame, test: pd.DataFrame | None, also: Sequence[str], data: str
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Give categorical columns one set of categories for both frames, in which a hole is one; others are numbers."""
    frames = [features] if test is None else [features, test[features.columns]]
    categorical = {*also, *text_columns(features, also, data)}
    columns: dict[str, list[pd.Series]] = {}
    for name in features:
        parts = [frame[name] for frame in frames]
        columns[name] = _categories(parts) if name in categorical else [_numbers(part) for part in parts]
    encoded = [pd.DataFrame({name: parts[i] for name, parts in columns.items()}) for i in range(len(frames))]
    return encoded[0], encoded[1] if test is not None else None


def text_columns(features: pd.DataFrame, also: Sequence[str], data: str) -> list[str]:
    """Return the columns that are categories because they are text, and print why; ``also`` names others."""
    for name in also:
        column_of(features, "categorical", name, data)
    texts = [name for name in features if name not in also and not is_numeric_dtype(features[name])]
    if texts:
        reasons = [f"{name} ({why_text(features[name]) or 'text'})" for name in texts[:MOST_NAMED]]
        print(f"columns taken as categories: {some([*reasons, *texts[MOST_NAMED:]])}")
    return texts


def _categories(parts: Sequence[pd.Series]) -> list[pd.Series]:
    texts = [part.astype(object).where(part.notna(), "missing").map(text_of) for part in parts]
    categories = pd.CategoricalDtype(sorted(set().union(*texts)))
    return [text.astype(categories) for text in texts]


def _numbers(part: pd.Series) -> pd.Series:
    if isinstance(part.dtype, np.dtype) and is_numeric_dtype(part):
        return part.astype(int) if part.dtype == bool else part
    try:
        return part.astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"General/test_data: {part.name!r} has other values than numbers: {error}") from None


# --- Validation ------------------------------------------------------------------------------------------------------


Split = tuple[np.ndarray, np.ndarray]  # numbers of the training and of the validation rows


def split_rows(table: Table, params: Mapping[str, Any]) -> list[Split]:
    """Draw the validation rows, once or once per fold; every class is on both sides.

    scikit-learn's splitters would do; see :func:`read_bundled` for why it is not imported.
    """
    scheme = one_of("validation", params["validation"], SCHEMES)
    if table.problem == "ranking" and scheme not in ("holdout", "group"):
        raise InputError(f"General/validation: {scheme!r} would part the queries of a ranking; use holdout or group")
    for needed in ("group", "time"):
        if scheme == needed and getattr(table, needed) is None:
            raise InputError(f"General/{needed}_column: validation={scheme} needs it")
    splits = SCHEMES[scheme](table, params, np.random.default_rng(params["split_seed"]))
    for fold, sides in enumerate(splits):
        check_classes(table, sides, f"fold {fold}: " if len(splits) > 1 else "")
    return splits


def hold_out(table: Table, params: Mapping[str, Any], generator: np.random.Generator) -> list[Split]:
    """Draw a fraction: of the groups if there are any, else the latest rows if there are times, else of each class."""
    fraction, held_out = params["validation_fraction"], np.zeros(len(table.target), dtype=bool)
    if not 0 < fraction < 1:
        raise InputError(f"General/validation_fraction: {fraction} is not between 0 and 1")
    if table.group is not None:
        groups = generator.permutation(table.group.max() + 1)
        held_out = np.isin(table.group, groups[: _share(len(groups), fraction, "there is a single group")])
    elif table.time is not None:
        first = len(held_out) - _share(len(held_out), fraction, "the table has a single row")
        held_out = table.time >= min(first, table.time.max())  # rows of one time stay on one side
        if held_out.all():
            raise InputError("General/time_column: all rows are of one time")
    else:
        for label, rows in _by_class(table):
            held_out[generator.permutation(rows)[: _share(len(rows), fraction, f"{label} has a single row")]] = True
    return [_sides(held_out)]


def k_fold(table: Table, params: Mapping[str, Any], generator: np.random.Generator) -> list[Split]:
    """Deal the rows out at random."""
    rows = np.arange(len(table.target))
    return _folds(_deal([rows], _fold_count(params, len(rows), "rows"), generator))


def stratified(table: Table, params: Mapping[str, Any], generator: np.random.Generator) -> list[Split]:
    """Deal the rows of each class out at random."""
    count = _fold_count(params, len(table.target), "rows")
    return _folds(_deal([rows for _, rows in _by_class(table)], count, generator))


def by_group(table: Table, params: Mapping[str, Any], generator: np.random.Generator) -> list[Split]:
    """Give each group, the largest first, to the fold with the fewest rows."""
    assert table.group is not None
    sizes = np.bincount(table.group)
    count = _fold_count(params, len(sizes), "groups")
    drawn, filled, fold_of = generator.permutation(len(sizes)), np.zeros(count), np.zeros(len(sizes), dtype=int)
    for group in drawn[np.argsort(-sizes[drawn], kind="stable")]:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return _folds(fold_of[table.group])


def by_time(table: Table, params: Mapping[str, Any], generator: np.random.Generator) -> list[Split]:
    """Cut time into one part more than there are folds; each fold trains on what was before its part."""
    assert table.time is not None
    count = _fold_count(params, len(table.time) - 1, "rows", least=1)
    part = table.time * (count + 1) // len(table.time)
    if len(np.unique(part)) <= count:
        raise InputError(
            f"General/folds: the rows are of {len(np.unique(table.time))} times: too few for {count} folds"
        )
    return [(np.flatnonzero(part < k), np.flatnonzero(part == k)) for k in range(1, count + 1)]


SCHEMES = {"holdout": hold_out, "kfold": k_fold, "stratified": stratified, "group": by_group, "time": by_time}


def check_classes(table: Table, sides: Split, where: str) -> None:
    """Refuse a split of which one side lacks a class."""
    for side, rows in zip(("training", "validation"), sides, strict=True):
        there = np.bincount(table.target.to_numpy()[rows], minlength=len(table.classes)) if table.classes else []
        for label, count in zip(table.classes, there, strict=True):
            if not count:
                raise InputError(f"{where}class {label!r} has no row on the {side} side of the split")


def _share(count: int, fraction: float, single: str) -> int:
    if count < 2:
        raise InputError(f"{single}: it cannot be on both sides of the split")
    return min(max(round(count * fraction), 1), count - 1)


def _by_class(table: Table) -> list[tuple[str, np.ndarray]]:
    if not table.classes:
        return [("the table", np.arange(len(table.target)))]
    return [(f"class {label!r}", np.flatnonzero(table.target == code)) for code, label in enumerate(table.classes)]


def _fold_count(params: Mapping[str, Any], most: int, what: str, least: int = 2) -> int:
    count = params["folds"]
    if not least <= count <= most:
        raise InputError(f"General/folds: {count} is not between {least} and {most}, the number of {what}")
    return count


def _deal(strata: Sequence[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    drawn = np.concatenate([generator.permutation(rows) for rows in strata])
    fold_of = np.empty(len(drawn), dtype=int)
    fold_of[drawn] = np.arange(len(drawn)) % count
    return fold_of


def _folds(fold_of: np.ndarray) -> list[Split]:
    return [_sides(fold_of == fold) for fold in range(fold_of.max() + 1)]


def _sides(held_out: np.ndarray) -> Split:
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


# --- Metrics ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A series of the scalars: ``own`` is the library's name of it, else it is ``sign`` times scikit-learn's scorer."""

    series: str
    own: str = ""
    scorer: str = ""
    sign: int = 1
    maximize: bool = True


def chosen_metrics(wanted: str, problem: str) -> list[Metric]:
    """Resolve ``metrics``; the first one decides."""
    names = listed(DEFAULT_METRICS[problem] if wanted.strip() in ("", "auto") else wanted)
    return [find_metric(name, problem) for name in dict.fromkeys(names)]


def find_metric(name: str, problem: str) -> Metric:
    """Look a metric up by its name here, the library's or scikit-learn's, in this order."""
    known = dict.fromkeys((*METRICS[problem], *SCORERS[problem]))
    series = name.lower() if name.lower().partition("@")[0] in known else name
    if own := own_metric(series, problem):
        return own
    scorer, sign = SCORERS[problem].get(series, (name, 1))
    if series in SCORERS[problem] or (problem != "ranking" and _is_scorer(name)):
        return Metric(series, scorer=scorer, sign=sign, maximize=sign > 0)
    raise InputError(
        f"General/metrics: unknown metric {name!r} for a {problem} problem; known: {', '.join(known)}, "
        f"and the names of {SOURCES}"
    )


def _is_scorer(name: str) -> bool:
    from sklearn.metrics import get_scorer_names

    return name in get_scorer_names()


def score(
    metric: Metric, problem: str, target: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
) -> float:
    """Let scikit-learn measure predictions: numbers, or a column of probabilities per class."""
    from sklearn import base, metrics

    kind = base.RegressorMixin if problem == "regression" else base.ClassifierMixin

    class Predictions(kind, base.BaseEstimator):  # type: ignore[misc, valid-type]
        """Is asked about predictions, and answers with them."""

        classes_ = np.arange(predictions.shape[-1])

        def predict(self, given: np.ndarray) -> np.ndarray:
            return given if problem == "regression" else given.argmax(axis=1)

        def predict_proba(self, given: np.ndarray) -> np.ndarray:
            return given

    weights = {} if weight is None else {"sample_weight": weight}
    try:
        return metric.sign * float(metrics.get_scorer(metric.scorer)(Predictions(), predictions, target, **weights))
    except (TypeError, ValueError) as error:
        if "squared_log" in metric.scorer and (target > -1).all():
            return math.nan  # some predictions are below its range, at this iteration
        raise InputError(f"General/metrics: {metric.series} cannot be measured here: {reason_of(error)}") from None


def as_matrix(predictions: np.ndarray, problem: str) -> np.ndarray:
    """Bring probabilities of two classes to a column each."""
    return np.column_stack([1 - predictions, predictions]) if problem == "binary" else predictions


# --- Where it runs ---------------------------------------------------------------------------------------------------


def thread_count(wanted: int) -> int:
    """Return how many threads to start: as many as wanted, or as the slot has that this runs in."""
    if wanted < 0:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return wanted or (int(limit) if limit.isdecimal() and int(limit) else 2)


# --- Scalars ---------------------------------------------------------------------------------------------------------


class Reporter(Protocol):
    """The part of ``clearml.Logger`` that reports numbers."""

    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        """Report one point of a curve."""

    def report_single_value(self, name: str, value: float) -> None:
        """Report one number."""


class Scalars:
    """Reports the curves of one training: the only one, or that of a fold. Keeps those of the validation rows."""

    def __init__(self, logger: Reporter, metrics: Sequence[Metric], fold: int | None = None) -> None:
        self._logger = logger
        self._fold = fold
        self._least = math.inf
        self.metrics = metrics
        self.curves: dict[str, dict[int, float]] = {metric.series: {} for metric in metrics}
        self.best_iteration = 0  # by the first metric; the earliest of equals
        self.reports: list[tuple[str, str, float, int]] = []
        self.before = ""  # file of the model to go on from
        self.done = 0  # iterations that it has been trained for

    def report(self, side: str, metric: Metric, value: float, iteration: int) -> None:
        """Report one value; ``side`` is train or validation."""
        title, series = side, metric.series
        if self._fold is not None:
            title, series = f"fold_{self._fold}", series if side == "validation" else f"train_{series}"
        if side == "validation":
            self.curves[metric.series][iteration] = value
            loss = -value if metric.maximize else value
            if metric == self.metrics[0] and loss < self._least:
                self._least, self.best_iteration = loss, iteration
        self.reports.append((side, metric.series, value, iteration))
        if math.isfinite(value):  # the SDK would send 0 in place of NaN: a perfect loss
            self._logger.report_scalar(title, series, value, iteration)

    def go_on(self, folder: Path, name: str, iterations: int) -> None:
        """Take up the model and the curves of a checkpoint; the curves are reported again, so that they are whole."""
        self.before = str(folder / f"{name}{MODEL_SUFFIX}")
        metrics = {metric.series: metric for metric in self.metrics}
        for side, series, value, iteration in json.loads((folder / f"{name}.json").read_text(encoding="utf-8")):
            self.report(side, metrics[series], value, iteration)
        self.done = self.last_iteration() + 1
        if self.done >= iterations:
            raise InputError(f"General/iterations: {iterations}; the checkpoint has {self.done} already")

    def last_iteration(self) -> int:
        """Return the iteration that was reported last."""
        return max(self.curves[self.metrics[0].series], default=0)

    def at(self, iteration: int) -> dict[str, float]:
        """Return the value of each metric at an iteration."""
        return {series: float(curve.get(iteration, math.nan)) for series, curve in self.curves.items()}


@dataclass(frozen=True)
class Fitted:
    """A trained model, cut to its best iteration. ``importances`` are the features', in the order of the columns."""

    best_iteration: int
    predict: Callable[[pd.DataFrame], np.ndarray]
    importances: np.ndarray
    save: Callable[[str], Any]
    save_whole: Callable[[str], Any] | None = None  # the model that was not cut, to go on from


# --- Reports ---------------------------------------------------------------------------------------------------------


def report_outcome(
    fits: Sequence[Fitted], outcomes: Sequence[Mapping[str, float]], logger: Reporter
) -> dict[str, float]:
    """Report the kept models' metrics as single values: of several folds their mean and standard deviation."""
    values = {}
    for series in outcomes[0]:
        found = [outcome[series] for outcome in outcomes]
        values[f"validation_{series}"] = float(np.mean(found))
        if len(found) > 1:
            values[f"validation_{series}_std"] = float(np.std(found))
    values = {name: value for name, value in values.items() if math.isfinite(value)}
    best = float(np.mean([fitted.best_iteration for fitted in fits]))
    for name, value in (values | {"best_iteration": best}).items():
        logger.report_single_value(name, value)
    return values


def report_importances(fits: Sequence[Fitted], names: Sequence[str], logger: Logger) -> None:
    """Report the features' shares of all importance, the mean over the folds, as a plot and as a table."""
    total = np.mean([fitted.importances / (fitted.importances.sum() or 1) for fitted in fits], axis=0)
    order = np.argsort(-total, kind="stable")
    shares = pd.DataFrame({"feature": np.array(names)[order], "importance": total[order]})
    top = shares.head(MOST_FEATURES)
    logger.report_histogram(
        "feature importances", "plot", top["importance"].tolist(), 0, xlabels=top["feature"].tolist(), yaxis="share"
    )
    logger.report_table("feature importances", "table", 0, shares.round(6))


def predictions_of(table: Table, predictions: np.ndarray) -> dict[str, Any]:
    """Return the columns that predictions make: a number, or a label and the probability of each class."""
    if not table.classes:
        return {"prediction": predictions}
    labels = np.array(table.classes)[predictions.argmax(axis=1)]
    return {"prediction": labels} | {
        f"probability_{label}": predictions[:, code] for code, label in enumerate(table.classes)
    }


def validation_predictions(table: Table, splits: Sequence[Split], fits: Sequence[Fitted]) -> pd.DataFrame:
    """Return what each validation row was predicted to be by a model that has not seen it."""
    parts = []
    for fold, ((_, rows), fitted) in enumerate(zip(splits, fits, strict=True)):
        target = table.target.iloc[rows]
        known = target.map(dict(enumerate(table.classes))) if table.classes else target
        columns = {str(table.ids.name): table.ids.iloc[rows].to_numpy(), "fold": fold, "target": known.to_numpy()}
        predicted = predictions_of(table, fitted.predict(table.features.iloc[rows]))
        parts.append(pd.DataFrame(columns | predicted))
    return pd.concat(parts, ignore_index=True)


def submission(table: Table, predictions: np.ndarray, kind: str) -> pd.DataFrame:
    """Return id and target of the rows to predict: the label, or the probability of the second class, or of each."""
    assert table.test_ids is not None
    columns = predictions_of(table, predictions)
    if kind == "labels" or not table.classes:
        shown = {str(table.target.name): columns["prediction"]}
    elif table.problem == "binary":
        shown = {str(table.target.name): predictions[:, 1]}
    else:
        shown = dict(zip(table.classes, predictions.T, strict=True))
    return pd.DataFrame({str(table.test_ids.name): table.test_ids.to_numpy()} | shown)


# --- The task --------------------------------------------------------------------------------------------------------


def start_task() -> Task:
    """Open the ClearML task: a new one by hand, the given one under an agent."""
    # By default the SDK reports from a child process, whose start and end cost 11 s: longer than a short trial.
    config.get("development")["report_use_subprocess"] = False
    # Keep this file itself in the task, not a commit, so that an agent needs no access to a repository.
    Task.force_store_standalone_script()
    Task.set_random_seed(None)  # the seeds are parameters here; Task.init would set its own
    task = Task.init(
        project_name="clearml-hpo/templates",
        task_name=TASK_NAME,
        reuse_last_task_id=False,
        output_uri=True,  # models go to the files server
        auto_connect_arg_parser=False,
        auto_connect_frameworks=False,  # it would report what the library does a second time
    )
    task.set_initial_iteration(0)  # a trial that is run again starts anew: the SDK would count on from where it was
    return task


def fetch_checkpoint(task_id: str) -> Path:
    """Fetch the checkpoint of a task: a folder with the model of each fold, and its curves."""
    try:
        artifact = Task.get_task(task_id).artifacts["checkpoint"]
        return Path(artifact.get_local_copy(raise_on_error=True))
    except Exception as error:  # of the server, the storage or the archive: all mean that there is none
        raise InputError(f"General/continue_from: no checkpoint of task {task_id}: {reason_of(error)}") from error


def upload_models(task: Task, fits: Sequence[Fitted], classes: tuple[str, ...]) -> None:
    """Make the models output models of the task; the upload goes on in the background."""
    if not task.is_offline() and not task.output_uri:  # a task created without running, without start_task's output_uri
        task.output_uri = True
    for fold, fitted in enumerate(fits):
        name = "model" if len(fits) == 1 else f"model_fold_{fold}"
        handle, file = tempfile.mkstemp(prefix=f"{name}-", suffix=MODEL_SUFFIX)
        os.close(handle)
        fitted.save(file)
        if task.is_offline():  # the SDK cannot update an output model there
            task.upload_artifact(name, Path(file), delete_after_upload=True)
            continue
        labels = {label: code for code, label in enumerate(classes)}
        title = f"{task.name} {name.replace('_', ' ')}"
        output = OutputModel(task=task, name=title, framework=LIBRARY, label_enumeration=labels)
        output.update_weights(file, target_filename=f"{name}{MODEL_SUFFIX}")  # deletes the file afterwards


def upload_predictions(
    task: Task, table: Table, splits: Sequence[Split], fits: Sequence[Fitted], params: Mapping[str, Any]
) -> None:
    """Make the predictions artifacts of the task; of several folds' models, the mean predicts the test rows."""
    if params["upload_predictions"]:
        task.upload_artifact("validation_predictions", validation_predictions(table, splits, fits))
    if table.test is None or table.test_ids is None:
        return
    predictions = np.mean([fitted.predict(table.test) for fitted in fits], axis=0)
    if params["upload_predictions"]:
        columns = {str(table.test_ids.name): table.test_ids.to_numpy()} | predictions_of(table, predictions)
        task.upload_artifact("test_predictions", pd.DataFrame(columns))
    file = Path(tempfile.mkdtemp(prefix="submission-")) / "submission.csv"
    submission(table, predictions, params["submission"]).to_csv(file, index=False)
    task.upload_artifact("submission", file, delete_after_upload=True)


def run(task: Task, given: Mapping[str, Any]) -> None:
    """Load, split, train, report."""
    params, logger = typed(given), task.get_logger()
    started = time.monotonic()
    one_of("submission", params["submission"], ("labels", "probabilities"))
    table = load_table(params)
    splits = split_rows(table, params)
    metrics = chosen_metrics(params["metrics"], table.problem)
    params["device"] = choose_device(params)
    sizes = f"{len(splits[0][0])} + {len(splits[0][1])} rows, {table.features.shape[1]} columns"
    print(f"{table.problem} problem, {sizes}, {len(splits)} training(s), {params['device']}")
    loaded = time.monotonic()
    before = fetch_checkpoint(params["continue_from"]) if params.get("continue_from") else None
    after = Path(tempfile.mkdtemp(prefix="checkpoint-")) if params.get("save_checkpoint") else None
    fits, outcomes = train_all(table, splits, params, metrics, logger, before, after)
    trained = time.monotonic()
    values = report_outcome(fits, outcomes, logger)
    report_importances(fits, list(table.features), logger)
    upload_predictions(task, table, splits, fits, params)
    if after is not None:
        task.upload_artifact("checkpoint", after, wait_on_upload=True, delete_after_upload=True)
    if params["upload_model"]:
        upload_models(task, fits, table.classes)
    shown = ", ".join(f"{name} {value:.5f}" for name, value in values.items())
    print(f"{shown} (data {loaded - started:.2f} s, fit {trained - loaded:.2f} s)")


def train_all(
    table: Table,
    splits: Sequence[Split],
    params: Mapping[str, Any],
    metrics: Sequence[Metric],
    logger: Reporter,
    before: Path | None = None,
    after: Path | None = None,
) -> tuple[list[Fitted], list[dict[str, float]]]:
    """Train once per split; after each fold report the mean over those that are done, at the fold's number.

    ``before`` is the folder of a checkpoint to go on from, ``after`` the one to leave a checkpoint in.
    """
    fits: list[Fitted] = []
    outcomes: list[dict[str, float]] = []
    for fold, sides in enumerate(splits):
        scalars = Scalars(logger, metrics, fold if len(splits) > 1 else None)
        name = f"fold_{fold}"
        if before is not None:
            scalars.go_on(before, name, params["iterations"])
        fits.append(fit(table, sides, params, scalars))
        save = fits[-1].save_whole
        if after is not None and save is not None:
            save(str(after / f"{name}{MODEL_SUFFIX}"))
            (after / f"{name}.json").write_text(json.dumps(scalars.reports), encoding="utf-8")
        outcomes.append(scalars.at(fits[-1].best_iteration))
        if len(splits) > 1:
            for series in outcomes[0]:
                mean = float(np.mean([outcome[series] for outcome in outcomes]))
                if math.isfinite(mean):
                    logger.report_scalar("validation", series, mean, fold)
    return fits, outcomes


def reason_of(error: Exception) -> str:
    """Put an error in one line, without where in the library it arose."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(NOISE, "", first)[:300]


def main() -> None:
    """Run the training; what cannot be trained becomes a failed task with one line of reason."""
    try:
        defaults = typed(by_hand(sys.argv[1:]))
    except InputError as error:
        sys.exit(f"error: {error}")
    task = start_task()
    given = task.connect(defaults)
    try:
        run(task, given)
    except (InputError, *LIBRARY_ERRORS) as error:
        reason = reason_of(error)
        task.get_logger().report_text(f"error: {reason}", print_console=False)
        task.flush(wait_for_uploads=True)
        task.mark_failed(status_reason=reason)
        sys.tracebacklimit = 0  # the reason says it all
        raise InputError(reason) from None


if __name__ == "__main__":
    main()
