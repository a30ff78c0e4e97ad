"""Known-good points of the shipped search spaces: made on some data sets, shown on others.

    python -m benchmarks.known_points --cache trainings.jsonl
    python -m benchmarks.known_points --only xgboost/default --cache trainings.jsonl

The trainings are the templates' own, with their defaults but for `early_stopping_rounds: 20`; the value is the best one
of the first metric that a template picks by itself (log loss, or the root of the mean squared error).

Making: random points of a space are trained on each data set of `MAKING`. Of them, and of the points of the smaller
spaces, a portfolio is picked greedily, as in Feurer et al., Auto-Sklearn 2.0: Hands-free AutoML via Meta-Learning, JMLR
23, 2022: each next point is the one that lowers most the mean regret of the best point so far. The template's own
values are its first member, as each study begins with them. The regret of a data set is 0 at the best known value and 1
at the median of the random points.

Showing: on each data set of `SHOWING` the search of the product, one trial at a time, with and without the points. The
regret is in percent of what the searches without have gained over the median of their first ten trials.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import optuna
import pandas as pd
import yaml

from benchmarks.place import say, surroundings
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.values import DEFAULT_SECTION, Params, as_text
from clearml_hpo.scheduler.points import Points
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.search.space import Categorical, Int, SearchSpace
from clearml_hpo.study_file import parse_study

ROOT = Path(__file__).parents[1]
LIBRARIES = ("xgboost", "lightgbm", "catboost", "sklearn")
SPACES = tuple(f"{library}/{size}" for size in ("small", "default", "wide") for library in LIBRARIES)
BUDGETS = (5, 10, 20, 40)
GOAL = Goal((Objective.parse("validation/loss"),))
MOST_POINTS = 4
_LEAST_GAIN = 0.005  # of the mean regret; a point that gains less is left out
_RESAMPLES = 2000
# Without an effect here, as no data set has categorical columns: points leave them at the template's own values.
_OF_CATEGORIES = {
    *("one_hot_max_size", "max_ctr_complexity", "model_size_reg"),
    *("cat_smooth", "cat_l2", "max_cat_to_onehot", "max_cat_threshold"),
}

_WITHOUT_CATEGORIES = "gblinear"  # refuses categorical columns: no point for everybody


# --- Data ------------------------------------------------------------------------------------------------------------


def _bundled(name: str, classes: int = 0) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        from sklearn import datasets

        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        rows = y < classes if classes else np.full(len(y), True)
        return _frame(x[rows], y[rows], is_class=name != "diabetes")

    return read


def _made(kind: str, *, is_class: bool = False, **options: Any) -> Callable[[], pd.DataFrame]:
    def make() -> pd.DataFrame:
        from sklearn import datasets

        x, y = getattr(datasets, f"make_{kind}")(**options)[:2]
        return _frame(x, y, is_class=is_class)

    return make


def _frame(x: Any, y: Any, *, is_class: bool) -> pd.DataFrame:
    frame: pd.DataFrame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
    target = [f"class {int(each)}" for each in y] if is_class else y
    frame.insert(len(frame.columns), "target", target)
    return frame


MAKING: Mapping[str, Callable[[], pd.DataFrame]] = {
    "breast_cancer": _bundled("breast_cancer"),
    "friedman1": _made("friedman1", n_samples=600, noise=1.0, random_state=1),
    "noisy_binary": _made("classification", is_class=True, n_samples=1500, n_features=20, n_informative=6,
                          flip_y=0.15, class_sep=0.8, random_state=2),
    "rings": _made("gaussian_quantiles", is_class=True, n_samples=500, n_features=5, n_classes=3, random_state=3),
    "linear": _made("regression", n_samples=250, n_features=20, n_informative=8, noise=20.0, random_state=4),
}  # fmt: skip
SHOWING: Mapping[str, Callable[[], pd.DataFrame]] = {
    "diabetes": _bundled("diabetes"),
    "digits": _bundled("digits", classes=3),
    "hastie": _made("hastie_10_2", is_class=True, n_samples=1200, random_state=5),
    "friedman2": _made("friedman2", n_samples=400, noise=50.0, random_state=6),
}


# --- Training --------------------------------------------------------------------------------------------------------


class _Recorder:
    """Keeps the values of one scalar, as ``clearml.Logger`` hears them."""

    def __init__(self, series: str) -> None:
        self._series = series
        self.values: list[float] = []

    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        if (title, series) == ("validation", self._series):
            self.values.append(value)

    def report_single_value(self, name: str, value: float) -> None:
        """Not looked at."""


@cache
def _template(library: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{library}_train", ROOT / "templates" / f"{library}_train.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class Trainings:
    """Trains each point of a library once per data set, and remembers it in a file.

    Attributes:
        spent_s: processor seconds of the trainings, those of the file too.
    """

    def __init__(self, folder: Path, cache_file: Path | None) -> None:
        self.spent_s = 0.0
        self._folder = folder
        self._file = cache_file
        self._known: dict[tuple[str, str, str], float] = {}
        if cache_file is not None and cache_file.exists():
            for line in cache_file.read_text().splitlines():
                library, data, point, value, spent_s = json.loads(line)
                self._known[library, data, point] = value
                self.spent_s += spent_s

    def value(self, library: str, data: str, given: Mapping[str, Any]) -> float:
        """What a template reports; infinite if it fails."""
        point = json.dumps(dict(sorted(given.items())))
        key = library, data, point
        if key not in self._known:
            started = time.process_time()
            self._known[key] = _trained(library, self._table(data), given)
            spent_s = round(time.process_time() - started, 3)
            self.spent_s += spent_s
            if self._file is not None:
                with self._file.open("a") as file:
                    file.write(json.dumps([*key, self._known[key], spent_s]) + "\n")
        return self._known[key]

    def _table(self, data: str) -> Path:
        path = self._folder / f"{data}.csv"
        if not path.exists():
            ({**MAKING, **SHOWING})[data]().to_csv(path, index=False)
        return path


def _trained(library: str, file: Path, given: Mapping[str, Any]) -> float:
    module = _template(library)
    fixed = {"data": str(file), "target": "target", "thread_count": 1, "device": "cpu", "early_stopping_rounds": 20}
    params = module.typed({name: v for name, v in {**fixed, **given}.items() if name in module.PARAMETERS})
    table = module.load_table(params)
    metrics = module.chosen_metrics("auto", table.problem)[:1]
    recorder = _Recorder(metrics[0].series)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module.train_all(table, module.split_rows(table, params), params, metrics, recorder)
        except (module.InputError, *module.LIBRARY_ERRORS, ValueError):
            return math.inf
    return min(filter(math.isfinite, recorder.values), default=math.inf)


# --- Points ----------------------------------------------------------------------------------------------------------


class Space:
    """A shipped space with its template's own values."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.library = name.partition("/")[0]
        data = {
            "study": "known-points",
            "template": {"script": str(ROOT / "templates" / f"{self.library}_train.py")},
            "search_space": str(ROOT / "search_spaces" / f"{name}.yaml"),
            "objective": {"metric": "validation/loss", "direction": "minimize"},
            "budget": {"trials": max(BUDGETS)},
        }
        self.space: SearchSpace = parse_study(yaml.safe_dump(data), name).space
        defaults = _template(self.library).PARAMETERS
        self._own = {f"{DEFAULT_SECTION}/{key}": as_text(value) for key, value in defaults.items()}

    def full(self, point: Params) -> Params:
        """A point; what it lacks is the template's own."""
        return self.space.parse({**self._own, **{name: as_text(value) for name, value in point.items()}})

    def near(self, point: Params) -> Params:
        """A point of a smaller space as one of this space: what lies outside moves to the lower end of its range."""
        kinds = self.space.distributions
        outside = {n: kinds[n] for n, value in self.full(point).items() if not kinds[n].contains(value)}
        return {**point, **{n: kind.low for n, kind in outside.items() if not isinstance(kind, Categorical)}}

    def draw(self, count: int) -> list[Params]:
        """Random points, in two digits, of the parameters that have an effect."""
        sampler = optuna.samplers.RandomSampler(seed=random.Random(self.name).randrange(2**32))
        study = OptunaStudy(self.space, ["minimize"], sampler=sampler)
        return [self._rounded(study.ask(number)) for number in range(count)]

    def _rounded(self, point: Params) -> Params:
        found = {}
        for name, value in point.items():
            if name.partition("/")[2] in _OF_CATEGORIES:
                continue
            kind = self.space.distributions[name]
            short = float(f"{value:.2g}") if isinstance(value, float) and not isinstance(kind, Categorical) else value
            found[name] = short if isinstance(kind, Int) or kind.contains(short) else value
        return found

    def value(self, trainings: Trainings, data: str, params: Params) -> float:
        """What a study would see at a full point."""
        given = self.space.hyperparameters(params)
        return trainings.value(self.library, data, {name.partition("/")[2]: value for name, value in given.items()})


def portfolio(values: np.ndarray, own: np.ndarray, median: np.ndarray) -> tuple[list[int], list[float]]:
    """Picks points greedily.

    Args:
        values: of each point (row) on each data set (column); smaller is better.
        own: values of the template's own point.
        median: of the random points.

    Returns:
        The rows of the points, and the mean regret of the best point so far, with the template's own one first.
    """
    least = np.minimum(values.min(axis=0), own)
    scale = np.where(median > least, median - least, 1.0)
    regrets, best = np.minimum((values - least) / scale, 1.0), np.minimum((own - least) / scale, 1.0)
    chosen: list[int] = []
    means = [float(best.mean())]
    while len(chosen) < MOST_POINTS:
        following = np.minimum(regrets, best).mean(axis=1)
        row = int(following.argmin())
        if means[-1] - following[row] < _LEAST_GAIN:
            break
        chosen.append(row)
        best = np.minimum(regrets[row], best)
        means.append(float(best.mean()))
    return chosen, means


def make(space: Space, smaller: Sequence[Params], trainings: Trainings, count: int) -> dict[str, Any]:
    """The points of a space; ``smaller`` are those of the smaller spaces."""
    drawn = [point for point in space.draw(count) if point.get("General/booster") != _WITHOUT_CATEGORIES]
    points = [*drawn, *(space.near(point) for point in smaller)]
    told = [[space.value(trainings, data, space.full(point)) for data in MAKING] for point in points]
    own = np.array([space.value(trainings, data, space.full({})) for data in MAKING])
    values = np.array(told)
    chosen, means = portfolio(values, own, np.median(values[: len(drawn)], axis=0))
    return {
        "points": [points[row] for row in chosen],
        "mean_regret": [round(mean, 3) for mean in means],
    }


# --- Search ----------------------------------------------------------------------------------------------------------


def search(
    space: Space, data: str, seed: int, trials: int, first: Sequence[Params], trainings: Trainings
) -> list[float]:
    """The best value after each trial of one search, which begins with the template's own values and ``first``."""
    sampler = build_sampler("auto", seed=seed, space=space.space, goal=GOAL, trials=trials)
    study = OptunaStudy(space.space, ["minimize"], sampler=sampler)
    points = Points(study, lambda number, known: study.fail(number), rerun_duplicates=False)
    for point in ({}, *first):
        points.enqueue(space.full(point))
    best: list[float] = []
    for number in range(trials):
        params = points.next(number)
        if params is None:
            break
        points.tried(number, params)
        value = space.value(trainings, data, params)
        best.append(min(value, best[-1]) if best else value)
        if math.isfinite(value):
            study.complete(number, (value,))
        else:
            study.fail(number)
    return best


def show(
    space: Space, first: Sequence[Params], trainings: Trainings, seeds: int, budgets: Sequence[int]
) -> dict[str, Any]:
    """Regret with and without the points, on data sets that they were not made on."""
    pairs: dict[int, list[tuple[float, float]]] = {budget: [] for budget in budgets}
    by_data: dict[str, dict[str, list[float]]] = {}
    for data in SHOWING:
        without = [search(space, data, seed, budgets[-1], (), trainings) for seed in range(seeds)]
        with_them = [search(space, data, seed, budgets[-1], first, trainings) for seed in range(seeds)]
        least = min(best[-1] for best in (*without, *with_them))
        singles = [space.value(trainings, data, space.full(point)) for point in space.draw(10)]
        gained = statistics.median(singles) - least
        for budget in budgets:
            regrets = [
                (100 * (cold[budget - 1] - least) / gained, 100 * (warm[budget - 1] - least) / gained)
                for cold, warm in zip(without, with_them, strict=True)
            ]
            pairs[budget] += regrets
            by_data.setdefault(data, {})[str(budget)] = [
                round(statistics.median(side), 1) for side in zip(*regrets, strict=True)
            ]
        say(f"{space.name} {data}: median without, with by trials: {by_data[data]}")
    return {"regret_pct": {str(n): _figures(found) for n, found in pairs.items()}, "by_data": by_data}


def _figures(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Medians, the 95 % bootstrap interval of the mean gain, and how many pairs of searches were won and lost."""
    without, with_them = np.array(pairs).T
    gains = without - with_them
    resampled = np.random.default_rng(0).choice(gains, (_RESAMPLES, len(gains))).mean(axis=1)
    low, high = np.percentile(resampled, (2.5, 97.5))
    return {
        "without": round(float(np.median(without)), 2),
        "with": round(float(np.median(with_them)), 2),
        "mean_gain": round(float(gains.mean()), 2),
        "mean_gain_95": [round(float(low), 2), round(float(high), 2)],
        "won": int((gains > 0).sum()),
        "lost": int((gains < 0).sum()),
        "pairs": len(gains),
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.known_points", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", action="append", choices=SPACES, help="a space; may be given several times")
    parser.add_argument(
        "--points", type=int, default=60, help="random points of a space, for each data set; of wide ones a third"
    )
    parser.add_argument("--seeds", type=int, default=2, help="searches on each data set with, and without the points")
    parser.add_argument("--trials", type=int, default=max(BUDGETS), help="of each search")
    parser.add_argument("--cache", type=Path, help="a file that keeps the trainings")
    parser.add_argument("--make", action="store_true", help="make the points, and do not show them")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    wanted = given.only or SPACES
    budgets = [budget for budget in BUDGETS if budget <= given.trials]
    results: dict[str, Any] = {}
    smaller: dict[str, list[Params]] = {}
    with tempfile.TemporaryDirectory(prefix="clearml-hpo-bench-") as folder:
        trainings = Trainings(Path(folder), given.cache)
        for name in SPACES:
            library = name.partition("/")[0]
            if not any(each.startswith(library) and SPACES.index(name) <= SPACES.index(each) for each in wanted):
                continue
            space = Space(name)
            results[name] = make(
                space, smaller.get(library, ()), trainings, given.points // (3 if name.endswith("wide") else 1)
            )
            smaller[library] = [*smaller.get(library, ()), *results[name]["points"]]
            say(f"{name}: {results[name]} after {trainings.spent_s:.0f} s")
        for name in () if given.make else wanted:
            results[name] |= show(Space(name), results[name]["points"], trainings, given.seeds, budgets)
            say(f"{name}: {results[name]['regret_pct']} after {trainings.spent_s:.0f} s")
    told = {"benchmark": "known_points", **surroundings(), "settings": {**vars(given), "cache": str(given.cache)}}
    print(json.dumps({**told, "trainings_s": round(trainings.spent_s), "spaces": results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
