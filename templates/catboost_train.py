"""Train a CatBoost model on a table and log it to ClearML: a template for hyperparameter studies.

    python templates/catboost_train.py                            # logs to the ClearML server that is configured
    python templates/catboost_train.py data=my.csv target=price   # other values than the defaults
    CLEARML_OFFLINE_MODE=1 python templates/catboost_train.py     # no server

Every entry of ``PARAMETERS`` is a hyperparameter of the task (``General/learning_rate``, ...): clone the task, change
values, enqueue it. Scalars are ``validation/<metric>`` and ``train/<metric>`` at each iteration; the metrics of the
kept model are single values ``validation_<metric>``; the model is an output model of the task.

This file needs clearml, catboost, scikit-learn and pandas, and no other file, so that any agent can run it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from catboost import CatBoost, CatBoostError, Pool
from catboost.utils import get_gpu_device_count
from clearml import OutputModel, Task
from clearml.config import config

Value = bool | int | float | str

# No default is None: a value that was changed on the server arrives as text and is cast to the type of its default.
PARAMETERS: dict[str, Value] = {
    # Data
    "data": "breast_cancer",  # set of scikit-learn (see BUNDLED), CSV or Parquet file, or id of a ClearML dataset
    "data_file": "",  # file in the ClearML dataset; empty: the only one
    "target": "",  # column; empty: the last one
    "problem": "auto",  # auto, binary, multiclass, regression, ranking
    "id_column": "",
    "weight_column": "",
    "time_column": "",  # orders the rows for validation=time
    "group_column": "",  # rows of a group stay on one side of the split; the queries of a ranking
    "categorical_columns": "",  # comma separated; those that are not numbers are categorical anyway
    "ignored_columns": "",  # comma separated
    "test_data": "",  # file of rows to predict for submission.csv
    # Validation
    "validation": "holdout",  # holdout, kfold, stratified, group, time
    "validation_fraction": 0.2,  # of holdout
    "folds": 5,  # of the others
    "split_seed": 0,
    # Training
    "loss": "auto",  # any loss_function of CatBoost
    "metrics": "auto",  # comma separated, see METRICS; the first one decides on early stopping and the kept model
    "iterations": 200,
    "early_stopping_rounds": 50,  # 0: off
    "class_weights": "none",  # none, balanced, sqrt_balanced
    "seed": 0,
    # What is kept
    "upload_model": True,
    "upload_predictions": True,
    "submission": "labels",  # labels, probabilities
    # Where it runs
    "device": "auto",  # auto, cpu, gpu
    "gpu_devices": "0",  # counted among the visible ones; several: 0,1
    "gpu_ram_part": 0.95,  # lower it where several trainings share a GPU
    "thread_count": 0,  # -1: all cores; 0: OMP_NUM_THREADS, which workers set, else 2: small tables gain no more
    # CatBoost's own, under its own names
    "learning_rate": 0.03,
    "depth": 6,
    "l2_leaf_reg": 3.0,
    "random_strength": 1.0,
    "border_count": 128,
    "leaf_estimation_iterations": 0,  # 0: CatBoost chooses by the loss
    "bootstrap_type": "MVS",  # Bayesian, Bernoulli, MVS, Poisson (GPU), No
    "bagging_temperature": 1.0,  # Bayesian only
    "subsample": 0.8,  # Bernoulli, MVS and Poisson only
    "sampling_frequency": "PerTreeLevel",  # PerTree, PerTreeLevel; CPU only
    "grow_policy": "SymmetricTree",  # SymmetricTree, Depthwise, Lossguide
    "boosting_type": "auto",  # auto, Plain, Ordered; SymmetricTree only
    "min_data_in_leaf": 1,  # Depthwise and Lossguide only
    "max_leaves": 31,  # Lossguide only
    "rsm": 1.0,  # CPU only
    "one_hot_max_size": 2,  # categorical columns only, as the next two
    "max_ctr_complexity": 4,
    "model_size_reg": 0.5,
    "scale_pos_weight": 1.0,  # binary only
}

ALWAYS_PASSED = (
    *("iterations", "thread_count", "learning_rate", "depth"),
    *("l2_leaf_reg", "random_strength", "border_count", "bootstrap_type", "grow_policy"),
)
# CatBoost refuses a parameter that its bootstrap type or growing policy has no use for.
PASSED_BY_BOOTSTRAP: dict[str, tuple[str, ...]] = {
    "Bayesian": ("bagging_temperature",),
    "Bernoulli": ("subsample",),
    "MVS": ("subsample",),
    "Poisson": ("subsample",),
    "No": (),
}
PASSED_BY_GROWTH: dict[str, tuple[str, ...]] = {
    "SymmetricTree": (),
    "Depthwise": ("min_data_in_leaf",),
    "Lossguide": ("min_data_in_leaf", "max_leaves"),
}

BUNDLED = ("breast_cancer", "iris", "wine", "digits", "diabetes")
# The file of those that scikit-learn keeps as plain CSV
BUNDLED_FILES = {"breast_cancer": "breast_cancer.csv", "iris": "iris.csv", "wine": "wine_data.csv"}

LOSSES = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}
# Series of the scalars -> metric of CatBoost
METRICS: dict[str, dict[str, str]] = {
    "binary": {
        "logloss": "Logloss",
        "auc": "AUC",
        "accuracy": "Accuracy",
        "balanced_accuracy": "BalancedAccuracy",
        "f1": "F1",
        "precision": "Precision",
        "recall": "Recall",
        "mcc": "MCC",
    },
    "multiclass": {
        "logloss": "MultiClass",
        "auc": "AUC:type=Mu",
        "accuracy": "Accuracy",
        "f1_macro": "TotalF1:average=Macro",
        "f1_weighted": "TotalF1",
        "mcc": "MCC",
    },
    "regression": {
        "rmse": "RMSE",
        "mae": "MAE",
        "r2": "R2",
        "mape": "MAPE",
        "median_absolute_error": "MedianAbsoluteError",
    },
}
DEFAULT_METRICS = {
    "binary": "logloss,auc,accuracy",
    "multiclass": "logloss,accuracy",
    "regression": "rmse,mae,r2",
}
MOST_CLASSES = 50  # whole numbers with more distinct values than this are taken for a regression


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


def one_of(name: str, value: str, allowed: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Return the value if it is allowed, else say what is."""
    if value not in allowed:
        raise InputError(f"General/{name}: {value!r} is none of {', '.join(allowed)}")
    return value


# --- Data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Rows to learn from; ``classes`` are the labels by their code in ``target``, empty for a regression."""

    features: pd.DataFrame
    target: np.ndarray
    problem: str
    classes: tuple[str, ...]

    @property
    def categorical(self) -> list[str]:
        """Names of the columns that are not numbers."""
        numeric = pd.api.types.is_numeric_dtype
        return [name for name in self.features if not numeric(self.features[name])]

    def pool(self, rows: np.ndarray) -> Pool:
        """Give the rows of a mask to CatBoost, which takes missing numbers as they are."""
        return Pool(self.features[rows], self.target[rows], cat_features=self.categorical)


def load_table(data: str, target: str, problem: str) -> Table:
    """Read features and target from a bundled set or a CSV file."""
    one_of("problem", problem, ("auto", *METRICS))
    frame = read_bundled(data) if data in BUNDLED else read_csv(data)
    name = target_column(frame, target, data)
    frame = frame[frame[name].notna()]
    values, features = frame[name], frame.drop(columns=name)
    check_target(values, name, data)
    if features.empty:
        raise InputError(f"{data}: no column is left beside the target {name!r}")
    kind = detect_problem(values) if problem == "auto" else problem
    coded, classes = encode_target(values, kind, name)
    return Table(fill_categories(features), coded, kind, classes)


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


def read_csv(path: str) -> pd.DataFrame:
    """Read a CSV file; say on which machine it is missing, as an agent may run anywhere."""
    file = Path(path).expanduser()
    if not file.is_file():
        near = "".join(f" (did you mean {name}?)" for name in get_close_matches(path, BUNDLED, n=1))
        raise InputError(f"General/data: no file {file.absolute()} on {socket.gethostname()}{near}")
    try:
        return pd.read_csv(file)
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{file}: not a readable CSV file: {error}") from None


def target_column(frame: pd.DataFrame, wanted: str, data: str) -> str:
    """Return the name of the target's column: the one wanted, or the last."""
    names = [str(name) for name in frame.columns]
    if wanted and wanted not in names:
        shown = get_close_matches(wanted, names, n=3) or names[-3:]
        raise InputError(f"General/target: {data} has no column {wanted!r}; it has {', '.join(shown)}, ...")
    return wanted or names[-1]


def check_target(values: pd.Series, name: str, data: str) -> None:
    """Refuse a target from which nothing can be learnt."""
    if values.empty:
        raise InputError(f"{data}: no row has a value for the target {name!r}")
    if values.nunique() < 2:
        raise InputError(f"{data}: the target {name!r} is constant: every row has {values.iloc[0]}")


def detect_problem(values: pd.Series) -> str:
    """Guess from the target: fractions, or many distinct numbers, make a regression; the rest are classes."""
    count = values.nunique()
    if count == 2:
        return "binary"
    if not pd.api.types.is_numeric_dtype(values):
        return "multiclass"
    whole = bool((values == values.round()).all())
    return "multiclass" if whole and count <= MOST_CLASSES else "regression"


def encode_target(values: pd.Series, problem: str, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn classes into codes from 0 on, in the order of their labels; leave numbers alone."""
    if problem == "regression":
        if not pd.api.types.is_numeric_dtype(values):
            raise InputError(f"the target {name!r} is not numeric: no regression on it")
        return values.to_numpy(dtype=float), ()
    codes, labels = pd.factorize(values, sort=True)
    if problem == "binary" and len(labels) != 2:
        raise InputError(f"the target {name!r} has {len(labels)} classes: not a binary problem")
    return codes, tuple(str(label) for label in labels)


def fill_categories(features: pd.DataFrame) -> pd.DataFrame:
    """Give missing categories a name of their own: CatBoost takes text only."""
    numeric = pd.api.types.is_numeric_dtype
    texts = {
        name: column.astype(object).where(column.notna(), "missing").astype(str)
        for name, column in features.items()
        if not numeric(column)
    }
    return features.assign(**texts) if texts else features


def split_rows(table: Table, fraction: float, seed: int) -> np.ndarray:
    """Draw the validation rows, as a mask; classes keep their shares, and each is on both sides.

    scikit-learn's ``train_test_split`` would do; see :func:`read_bundled` for why it is not imported.
    """
    if not 0 < fraction < 1:
        raise InputError(f"General/validation_fraction: {fraction} is not between 0 and 1")
    generator = np.random.default_rng(seed)
    mask = np.zeros(len(table.target), dtype=bool)
    for group in _groups(table):
        if len(group) < 2:
            label = f"class {table.classes[table.target[group[0]]]!r}" if table.classes else "the table"
            raise InputError(f"{label} has a single row: it cannot be on both sides of the split")
        count = min(max(round(len(group) * fraction), 1), len(group) - 1)
        mask[generator.permutation(group)[:count]] = True
    return mask


def _groups(table: Table) -> list[np.ndarray]:
    if not table.classes:
        return [np.arange(len(table.target))]
    return [np.flatnonzero(table.target == code) for code in range(len(table.classes))]


# --- What CatBoost is told -------------------------------------------------------------------------------------------


def chosen_metrics(wanted: str, problem: str) -> dict[str, str]:
    """Resolve ``metrics`` to CatBoost's names -> series of the scalars; the first one decides."""
    known = METRICS[problem]
    names = DEFAULT_METRICS[problem] if wanted.strip() in ("", "auto") else wanted
    chosen = {}
    for name in (part.strip() for part in names.split(",")):
        if name.lower() not in known:
            raise InputError(
                f"General/metrics: unknown metric {name!r} for a {problem} problem; known: {', '.join(known)}"
            )
        chosen[known[name.lower()]] = name.lower()
    return chosen


def choose_device(wanted: str) -> str:
    """Return CatBoost's ``task_type``: the GPU if there is one and it is not ruled out."""
    one_of("device", wanted, ("auto", "cpu", "gpu"))
    # get_gpu_device_count counts those that CUDA_VISIBLE_DEVICES lets through; without a driver it complains.
    count = get_gpu_device_count() if wanted != "cpu" and _has_driver() else 0
    if wanted == "gpu" and count == 0:
        raise InputError(f"General/device: no GPU is visible on {socket.gethostname()}")
    return "GPU" if count else "CPU"


def _has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def catboost_settings(
    params: Mapping[str, Any], problem: str, metrics: Mapping[str, str], device: str
) -> dict[str, Any]:
    """Translate the task's parameters into CatBoost's, leaving out those that do not apply."""
    bootstrap = one_of("bootstrap_type", params["bootstrap_type"], PASSED_BY_BOOTSTRAP)
    growth = one_of("grow_policy", params["grow_policy"], PASSED_BY_GROWTH)
    first, *others = metrics
    settings = {
        name: params[name] for name in (*ALWAYS_PASSED, *PASSED_BY_BOOTSTRAP[bootstrap], *PASSED_BY_GROWTH[growth])
    }
    settings |= {
        "loss_function": LOSSES[problem] if params["loss"] == "auto" else params["loss"],
        "eval_metric": first,
        "custom_metric": others,
        "random_seed": params["seed"],
        "allow_writing_files": False,
    }
    if params["early_stopping_rounds"] > 0:
        settings["early_stopping_rounds"] = params["early_stopping_rounds"]
    return settings | _device_settings(params, device)


def _device_settings(params: Mapping[str, Any], device: str) -> dict[str, Any]:
    if device == "CPU":
        return {"task_type": "CPU", "rsm": params["rsm"], "logging_level": "Silent"}
    return {
        "task_type": "GPU",
        "devices": params["gpu_devices"],
        "gpu_ram_part": params["gpu_ram_part"],
        "logging_level": "Verbose",  # the lines that LogFollower reads
    }


# --- Training and its scalars ----------------------------------------------------------------------------------------


class ScalarLogger(Protocol):
    """The part of ``clearml.Logger`` that is used here."""

    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        """Report one point of a curve."""

    def report_single_value(self, name: str, value: float) -> None:
        """Report one number."""


class Scalars:
    """Reports what CatBoost measured, under the same names whatever way it became known."""

    def __init__(self, logger: ScalarLogger, metrics: Mapping[str, str]) -> None:
        self._logger = logger
        self.metrics = dict(metrics)
        self.first = next(iter(metrics))

    def report(self, title: str, metric: str, value: float, iteration: int) -> None:
        """Report one value; ``metric`` is CatBoost's name of it."""
        if math.isfinite(value):  # the SDK would send 0 in place of NaN: a perfect loss
            self._logger.report_scalar(title, self.metrics[metric], value, iteration)

    def report_curve(self, title: str, metric: str, values: list[float]) -> None:
        """Report all iterations of a metric."""
        for iteration, value in enumerate(values):
            self.report(title, metric, value, iteration)


class CallbackFollower:
    """Reports every metric after each iteration, from CatBoost's callback: CPU only."""

    def __init__(self, scalars: Scalars) -> None:
        self._scalars = scalars

    def after_iteration(self, info: Any) -> bool:
        """Take the newest value of each metric; True lets the training go on."""
        iteration = info.iteration - 1  # CatBoost counts the iterations that are done
        for metric in self._scalars.metrics:
            self._scalars.report("validation", metric, info.metrics["validation"][metric][-1], iteration)
        first = info.metrics["learn"].get(self._scalars.first)  # AUC is not measured on the training rows
        if first:
            self._scalars.report("train", self._scalars.first, first[-1], iteration)
        return True


class LogFollower:
    """Reports the first metric from the lines that CatBoost prints while it trains.

    On a GPU CatBoost takes neither callbacks nor an initial model, which would allow to train in chunks; its log
    stream is what remains. A line reads ``7:<tab>learn: 0.42<tab>test: 0.44<tab>best: 0.44 (7)<tab>total: ...``.
    """

    _LINE = re.compile(r"(\d+):\t(?:learn: (\S+)\t)?test: (\S+)")

    def __init__(self, scalars: Scalars) -> None:
        self._scalars = scalars

    def write(self, text: str) -> None:
        """Take what CatBoost prints: one line at a time."""
        found = self._LINE.match(text)
        if found is None:
            print(text, end="")
            return
        iteration, learn, test = found.groups()
        self._scalars.report("validation", self._scalars.first, float(test), int(iteration))
        if learn is not None:
            self._scalars.report("train", self._scalars.first, float(learn), int(iteration))

    def report_others(self, model: CatBoost) -> None:
        """Report, after the training, the metrics that its log does not show."""
        curves = model.get_evals_result()["validation"]
        for metric in self._scalars.metrics:
            if metric != self._scalars.first:
                self._scalars.report_curve("validation", metric, curves[metric])


def train_by_callback(model: CatBoost, train: Pool, validation: Pool, scalars: Scalars) -> None:
    """Train on a CPU, reporting from a callback."""
    model.fit(train, eval_set=validation, callbacks=[CallbackFollower(scalars)])


def train_by_log(model: CatBoost, train: Pool, validation: Pool, scalars: Scalars) -> None:
    """Train on a GPU, reporting from the log stream."""
    follower = LogFollower(scalars)
    model.fit(train, eval_set=validation, log_cout=follower)
    follower.report_others(model)


def report_kept_model(model: CatBoost, scalars: Scalars, logger: ScalarLogger) -> dict[str, float]:
    """Report, as single values, the validation metrics of the kept model: that of the best iteration."""
    best = model.get_best_iteration()
    curves = model.get_evals_result()["validation"]
    values = {f"validation_{series}": curves[name][best] for name, series in scalars.metrics.items()}
    values = {name: value for name, value in values.items() if math.isfinite(value)}
    for name, value in (values | {"best_iteration": float(best)}).items():
        logger.report_single_value(name, value)
    return values


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
        task_name="catboost",
        reuse_last_task_id=False,
        output_uri=True,  # models go to the files server
        auto_connect_arg_parser=False,
        auto_connect_frameworks=False,  # it would report every CatBoost scalar and model a second time
    )
    task.set_initial_iteration(0)  # a trial that is run again starts anew: the SDK would count on from where it was
    return task


def upload_model(task: Task, model: CatBoost, classes: tuple[str, ...]) -> None:
    """Make the model an output model of the task; the upload goes on in the background."""
    handle, file = tempfile.mkstemp(prefix="model-", suffix=".cbm")
    os.close(handle)
    model.save_model(file)
    if task.is_offline():  # the SDK cannot update an output model there
        task.upload_artifact("model", Path(file), delete_after_upload=True)
        return
    if not task.output_uri:  # a task that was created without running, and so without start_task's output_uri
        task.output_uri = True
    labels = {label: code for code, label in enumerate(classes)}
    output = OutputModel(task=task, name=f"{task.name} model", framework="CatBoost", label_enumeration=labels)
    output.update_weights(file, target_filename="model.cbm")  # deletes the file afterwards


def run(task: Task, given: Mapping[str, Any]) -> None:
    """Load, split, train, report."""
    params, logger = typed(given), task.get_logger()
    started = time.monotonic()
    table = load_table(params["data"], params["target"], params["problem"])
    mask = split_rows(table, params["validation_fraction"], params["split_seed"])
    metrics, device = chosen_metrics(params["metrics"], table.problem), choose_device(params["device"])
    model = CatBoost(catboost_settings(params, table.problem, metrics, device))
    scalars = Scalars(logger, metrics)
    print(f"{table.problem} problem, {(~mask).sum()} + {mask.sum()} rows, {table.features.shape[1]} columns, {device}")
    loaded = time.monotonic()
    train = train_by_log if device == "GPU" else train_by_callback
    train(model, table.pool(~mask), table.pool(mask), scalars)
    trained = time.monotonic()
    values = report_kept_model(model, scalars, logger)
    if params["upload_model"]:
        upload_model(task, model, table.classes)
    shown = ", ".join(f"{name} {value:.5f}" for name, value in values.items())
    print(f"{model.tree_count_} trees kept: {shown} (data {loaded - started:.2f} s, fit {trained - loaded:.2f} s)")


def reason_of(error: Exception) -> str:
    """Put an error in one line, without the source line that CatBoost puts in front of its messages."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\S+\.(?:cpp|h):\d+: (?:Error: )?", "", first)[:300]


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
    except (InputError, CatBoostError) as error:
        reason = reason_of(error)
        task.get_logger().report_text(f"error: {reason}", print_console=False)
        task.flush(wait_for_uploads=True)
        task.mark_failed(status_reason=reason)
        sys.tracebacklimit = 0  # the reason says it all
        raise InputError(reason) from None


if __name__ == "__main__":
    main()
