"""Templates are scripts, not modules of a package: they are imported by their path."""

import importlib.util
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]
NAMES = ("catboost", "xgboost", "lightgbm", "sklearn")


class Recorder:
    """Stands in for ``clearml.Logger``: keeps what a training reports."""

    def __init__(self):
        self.curves = defaultdict(dict)
        self.singles = {}
        self.plots = {}

    def report_scalar(self, title, series, value, iteration):
        self.curves[f"{title}/{series}"][iteration] = value

    def report_single_value(self, name, value):
        self.singles[name] = value

    def report_histogram(self, title, series, values, iteration, **labels):
        self.plots[f"{title}/{series}"] = values

    def report_table(self, title, series, iteration, table):
        self.plots[f"{title}/{series}"] = table


class Offline:
    """Stands in for ``clearml.Task``: keeps what a training leaves."""

    name = "trained"
    output_uri = None

    def __init__(self):
        self.logger = Recorder()
        self.artifacts = {}

    def is_offline(self):
        return True

    def get_logger(self):
        return self.logger

    def upload_artifact(self, name, artifact, delete_after_upload=False, wait_on_upload=False):
        if isinstance(artifact, Path) and artifact.is_dir():
            self.artifacts[name] = artifact
        elif isinstance(artifact, Path):
            self.artifacts[name] = artifact.read_bytes()
            artifact.unlink()
        else:
            self.artifacts[name] = artifact


@cache
def load(name: str) -> ModuleType:
    """The script ``templates/<name>_train.py`` as a module."""
    spec = importlib.util.spec_from_file_location(f"{name}_train", ROOT / "templates" / f"{name}_train.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def task() -> Offline:
    return Offline()


@pytest.fixture
def catboost_train() -> ModuleType:
    return load("catboost")


@pytest.fixture(params=NAMES)
def template(request) -> ModuleType:
    return load(request.param)


@pytest.fixture(params=NAMES[:-1])
def ranker(request) -> ModuleType:
    """A template that learns to rank."""
    return load(request.param)


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> Path:
    """A folder with ``train.csv`` and ``test.csv``: holes, text, an odd name, every role a column can have.

    ``two``, ``three``, ``number`` and ``rank`` are targets, all of which follow from ``a<[1]``.
    """
    generator, rows = np.random.default_rng(1), 120
    signal = generator.normal(size=rows)
    frame = pd.DataFrame(
        {
            "a<[1]": signal,
            "noise": np.where(np.arange(rows) % 7, generator.normal(size=rows), np.nan),
            "colour": [("red", "green", None)[i % 3] for i in range(rows)],
            "key": np.arange(rows) + 1000,
            "day": pd.date_range("2024-01-01", periods=rows).astype(str),
            "query": np.arange(rows) // 6,
            "weight": generator.random(rows) + 0.1,
        }
    )
    folder = tmp_path_factory.mktemp("tables")
    frame.iloc[:10].assign(key=range(10), colour="blue").to_csv(folder / "test.csv", index=False)
    order = pd.Series(signal + generator.normal(size=rows) * 0.2).rank(pct=True)
    frame = frame.assign(
        two=np.where(signal > 0.5, "yes", "no"),
        three=np.array(["low", "mid", "top"])[(order * 2.99).astype(int)],
        number=3 * signal + generator.normal(size=rows) * 0.2,
        rank=(order * 3.99).astype(int),
    )
    frame.to_csv(folder / "train.csv", index=False)
    frame.to_parquet(folder / "train.parquet")
    return folder


@pytest.fixture
def train(tables, task):
    """Run a template on the table: six iterations of the target that is named."""

    def run(module, target="two", **changed):
        others = {"two", "three", "number", "rank"} - {target}
        roles = {"id_column": "key", "time_column": "day", "group_column": "query", "weight_column": "weight"}
        used = {name: changed.get(name, "") for name in roles}
        unused = {column for name, column in roles.items() if not used[name]}
        given = {
            "data": str(tables / "train.csv"),
            "target": target,
            "ignored_columns": ",".join(sorted(others | unused)),
            "iterations": 6,
            "thread_count": 1,
        }
        module.run(task, given | changed)
        return task

    return run
