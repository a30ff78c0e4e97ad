"""Regret at the end of a time budget, where trials take unequal time: ``gp_tpe`` that weighs it or does not, TPE.

    python -m benchmarks.time_budget --seeds 20

Eight workers run at once, in simulated time: a trial lasts as long as its training took in processor seconds, the
same for all sides. A problem's budget is what eight workers need for so many (``--trials``) of its random
points. All sides begin with the library's own values. Prints JSON: by problem, and half and all of the budget, the
median regret, the trials that were run, and the 95 % interval of the mean difference to the side that does not weigh
time.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import json
import statistics
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from benchmarks.place import say, surroundings
from benchmarks.problem import Problem
from benchmarks.search_problems import HALVES, PROBLEMS
from benchmarks.search_quality import GOAL, WORKERS
from clearml_hpo.core.values import Params
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler

# Side → sampler and its options.
SIDES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "weighed": ("gp_tpe", {"per_second": True}),
    "not_weighed": ("gp_tpe", {"per_second": False}),
    "tpe": ("tpe", {}),
    "random": ("random", {}),
}
_RESAMPLES = 2000
_TRAININGS = 3


@functools.lru_cache(maxsize=200_000)
def _trained(problem: str, items: tuple[tuple[str, Any], ...]) -> tuple[float, float]:
    """Value, and the processor seconds of the quickest of some trainings: what ran before it slows the first one."""
    took = []
    for _ in range(_TRAININGS):
        began = time.process_time()
        value = PROBLEMS[problem].value(dict(items))
        took.append(time.process_time() - began)
    return value, min(took)


def _run(problem: str, params: Params) -> tuple[float, float]:
    space = PROBLEMS[problem].space
    return _trained(problem, tuple(sorted(space.build(lambda axis, _: space.along_axes(params)[axis]).items())))


def search(name: str, side: str, seed: int, budget_s: float) -> list[tuple[float, float]]:
    """When each trial ended within the budget, in simulated seconds, and its value; in the order of their ends."""
    problem = PROBLEMS[name]
    sampler_name, options = SIDES[side]
    sampler = build_sampler(sampler_name, seed=seed, options=options, space=problem.space, goal=GOAL)
    study = OptunaStudy(problem.space, ["minimize"], sampler=sampler)
    running: list[tuple[float, int, float, float]] = []  # when it ends, number, value, seconds
    found: list[tuple[float, float]] = []
    now, number = 0.0, 0
    while True:
        while len(running) < WORKERS:
            params = _first(problem, study) if number == 0 else study.ask(number)
            value, seconds = _run(name, params)
            heapq.heappush(running, (now + seconds, number, value, seconds))
            number += 1
        now, ended, value, seconds = heapq.heappop(running)
        if now > budget_s:
            return found
        found.append((now, value))
        study.complete(ended, (value,), seconds=seconds)


def _first(problem: Problem, study: OptunaStudy) -> Params:
    if problem.own is None:
        return study.ask(0)
    own = problem.own
    params: Params = problem.space.build(lambda axis, _: own[axis])
    study.add(0, params)
    return params


def budget_of(name: str, trials: int) -> tuple[float, float]:
    """Seconds that eight workers need for so many random points, and how unequal these are: the 90th by the 10th %."""
    study = OptunaStudy(PROBLEMS[name].space, ["minimize"], sampler=optuna.samplers.RandomSampler(seed=0))
    points = [study.ask(number) for number in range(trials)]
    PROBLEMS[name].value(PROBLEMS[name].space.build(lambda axis, _: study.space.along_axes(points[0])[axis]))  # imports
    seconds = [_run(name, point)[1] for point in points]
    low, high = np.percentile(seconds, (10, 90))
    return sum(seconds) / WORKERS, float(high / low)


def _regret(runs: Mapping[int, Sequence[tuple[float, float]]], until: float, best: float) -> dict[int, float]:
    return {seed: min((v for at, v in run if at <= until), default=np.nan) - best for seed, run in runs.items()}


def figures(runs: Mapping[str, Mapping[int, Sequence[tuple[float, float]]]], budget_s: float) -> dict[str, Any]:
    """By share of the budget and side."""
    best = min(value for side in runs.values() for run in side.values() for _, value in run)
    result: dict[str, Any] = {}
    for share in (0.5, 1.0):
        plain = _regret(runs["not_weighed"], share * budget_s, best) if "not_weighed" in runs else {}
        for side, of in runs.items():
            regrets = _regret(of, share * budget_s, best)
            row: dict[str, Any] = {
                "median": float(f"{np.nanmedian([*regrets.values()]):.4g}"),
                "trials": statistics.median(sum(at <= share * budget_s for at, _ in run) for run in of.values()),
            }
            pairs = np.array([regrets[seed] - plain[seed] for seed in regrets if seed in plain])
            pairs = pairs[~np.isnan(pairs)]
            if side != "not_weighed" and len(pairs):
                means = np.random.default_rng(0).choice(pairs, (_RESAMPLES, len(pairs))).mean(axis=1)
                row["against_not_weighed"] = [float(f"{each:.4g}") for each in np.percentile(means, (2.5, 97.5))]
            result.setdefault(f"{share:g} of the budget", {})[side] = row
    return result


def main(arguments: Sequence[str] | None = None) -> Mapping[str, Any]:
    """Runs the command line; prints and returns the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=PROBLEMS, help="a problem; may be given several times")
    parser.add_argument("--half", action="append", choices=HALVES, help="all problems of it, as --only")
    parser.add_argument("--side", action="append", choices=SIDES, help="a side; may be given several times")
    parser.add_argument("--trials", type=int, default=60, metavar="N", help="random points that a budget is good for")
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    about = surroundings()
    problems = {}
    for name in given.only or [name for half in given.half or ["choosing"] for name in HALVES[half]]:
        budget_s, unequal = budget_of(name, given.trials)
        runs: dict[str, dict[int, list[tuple[float, float]]]] = {}
        for seed in range(given.seeds):
            for side in given.side or SIDES:
                runs.setdefault(side, {})[seed] = search(name, side, seed, budget_s)
            say(f"{name} seed {seed}")
        problems[name] = {"unequal": round(unequal, 2), **figures(runs, budget_s)}
    result = {"benchmark": "time_budget", "trials": given.trials, "seeds": given.seeds, **about, "problems": problems}
    print(json.dumps(result, indent=2))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
