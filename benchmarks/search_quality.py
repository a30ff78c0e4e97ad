"""Simple regret after 30, 60 and 120 trials: our samplers, ClearML's Optuna strategy as it comes, and random search.

    make bench-search
    python -m benchmarks.search_quality --only branin --trials 30 --seeds 3

Eight workers run at once, in simulated time: each takes its next trial when its last one ends, and how long the n-th
trial runs is drawn from the seed, the same for all sides. What proposes the points is the real thing:
`clearml_hpo.search.samplers`, `clearml_hpo.search.learner` and the loop's choice of the next point on our sides; on the
stock side the sampler that `clearml.automation.optuna.OptimizerOptuna` leaves to Optuna, a flat space (it has no
conditions), and a duplicate that is pruned and counts as a trial. Nothing else is pruned, as the problems report one
value each.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import json
import multiprocessing
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna

from benchmarks.place import say, surroundings
from benchmarks.search_problems import PROBLEMS, Problem
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler.points import Points
from clearml_hpo.search.learner import OptunaStudy, as_optuna
from clearml_hpo.search.samplers import build_sampler, choose_sampler

GOAL = Goal((Objective.parse("validation/loss"),))
WORKERS = 8
_SPREAD = 0.4  # of the logarithm of a trial's duration
_RESAMPLES = 2000
STOCK = "stock"
# Side → the sampler that it names. `auto` is looked up: it runs whatever it picks at that budget.
SIDES = {"auto": "auto", "tpe": "tpe", "gp": "gp", STOCK: STOCK, "random": "random"}


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        values: by trial number; None where the trial was a duplicate that did not run.
        ask_s: processor seconds that the n-th trial's point took.
    """

    problem: str
    sampler: str
    seed: int
    values: tuple[float | None, ...]
    ask_s: tuple[float, ...]

    def best(self, trials: int) -> float:
        """The smallest value among the first ``trials``."""
        return min(value for value in self.values[:trials] if value is not None)


class Side(Protocol):
    """What proposes points."""

    def ask(self, number: int) -> Params | None:
        """The point of trial ``number``; None if the trial is spent without a run."""

    def tell(self, number: int, value: float) -> None:
        """Trial ``number`` ended."""


class _Ours:
    """A sampler by name, as the loop uses it."""

    def __init__(self, problem: Problem, sampler: str, seed: int, trials: int) -> None:
        built = build_sampler(sampler, seed=seed, space=problem.space, goal=GOAL, trials=trials, workers=WORKERS)
        self._study = OptunaStudy(problem.space, ["minimize"], sampler=built)
        self._points = Points(self._study, self._tell_known, rerun_duplicates=False)
        self._values: dict[int, float] = {}

    def ask(self, number: int) -> Params | None:
        params = self._points.next(number)
        if params is not None:
            self._points.tried(number, params)
        return params

    def tell(self, number: int, value: float) -> None:
        self._values[number] = value
        self._study.complete(number, (value,))

    def _tell_known(self, number: int, known: int) -> None:
        if known in self._values:
            self._study.complete(number, (self._values[known],))
        else:
            self._study.fail(number)


class _Stock:
    """What ``OptimizerOptuna`` does without a sampler of one's own, from the installed Optuna's defaults."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._distributions = {n: as_optuna(d) for n, d in problem.space.distributions.items()}
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._trials: dict[int, optuna.Trial] = {}
        self._seen: list[dict[str, Any]] = []

    def ask(self, number: int) -> Params | None:
        trial = self._study.ask(self._distributions)
        params = dict(trial.params)
        if params in self._seen:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return None
        self._seen.append(params)
        self._trials[number] = trial
        return params

    def tell(self, number: int, value: float) -> None:
        self._study.tell(self._trials[number], value)


def search(
    side: Side, value_of: Callable[[Params], float], durations: Iterator[float], trials: int
) -> Iterator[tuple[int, float | None, float]]:
    """Runs trials, ``WORKERS`` at a time; yields number, value and the ask's processor seconds as they start."""
    running: list[tuple[float, int, float]] = []  # when it ends, number, value
    now = 0.0
    for number, duration in zip(range(trials), durations, strict=False):
        if len(running) == WORKERS:
            now, ended, value = heapq.heappop(running)
            side.tell(ended, value)
        asked_at = time.process_time()
        params = side.ask(number)
        ask_s = time.process_time() - asked_at
        if params is None:
            yield number, None, ask_s
            continue
        value = value_of(params)
        heapq.heappush(running, (now + duration, number, value))
        yield number, value, ask_s


def run(job: tuple[str, str, int, int]) -> Run:
    """Runs one search: problem, sampler, seed, trials."""
    problem_name, sampler, seed, trials = job
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = PROBLEMS[problem_name]
    side: Side = _Stock(problem, seed) if sampler == STOCK else _Ours(problem, sampler, seed, trials)
    generator = random.Random(seed)
    durations = iter(lambda: generator.lognormvariate(0.0, _SPREAD), None)
    rows = list(search(side, functools.partial(_trained, problem_name), durations, trials))
    return Run(problem_name, sampler, seed, tuple(r[1] for r in rows), tuple(round(r[2], 5) for r in rows))


def _trained(problem: str, params: Params) -> float:
    return _trained_once(problem, tuple(sorted(params.items())))


@functools.lru_cache(maxsize=100_000)
def _trained_once(problem: str, items: tuple[tuple[str, Any], ...]) -> float:
    return PROBLEMS[problem].value(dict(items))


def sampler_of(side: str, problem: str, trials: int) -> str:
    """The sampler that runs on a side at a budget."""
    if side == STOCK:
        return STOCK
    problem_space = PROBLEMS[problem].space
    return choose_sampler(SIDES[side], space=problem_space, goal=GOAL, trials=trials, workers=WORKERS).name


def summarise(runs: Iterable[Run], budgets: Sequence[int]) -> dict[str, Any]:
    """By problem, budget and side: the median regret, its 95 % bootstrap interval, and what ran."""
    runs = list(runs)
    result: dict[str, Any] = {}
    for problem in dict.fromkeys(run.problem for run in runs):
        here = [run for run in runs if run.problem == problem]
        optimum = PROBLEMS[problem].optimum
        best = min(run.best(len(run.values)) for run in here) if optimum is None else optimum
        tables = {}
        for budget in budgets:
            by_side = {side: _of(here, sampler_of(side, problem, budget), budget) for side in SIDES}
            tables[str(budget)] = {side: _figures(found, best, budget) for side, found in by_side.items() if found}
        result[problem] = {"best": best, "known": optimum is not None, "regret": tables}
    return result


def _of(runs: Iterable[Run], sampler: str, budget: int) -> list[Run]:
    return [run for run in runs if run.sampler == sampler and len(run.values) >= budget]


def _figures(runs: Sequence[Run], best: float, budget: int) -> dict[str, Any]:
    regrets = np.array([run.best(budget) - best for run in runs])
    resampled = np.random.default_rng(0).choice(regrets, (_RESAMPLES, len(regrets)))
    low, high = np.percentile(np.median(resampled, axis=1), (2.5, 97.5))
    asks = np.array([ask for run in runs for ask in run.ask_s[:budget]])
    return {
        "sampler": runs[0].sampler,
        "seeds": len(runs),
        "median": _rounded(np.median(regrets)),
        "low": _rounded(low),
        "high": _rounded(high),
        "wasted": round(float(np.mean([sum(v is None for v in run.values[:budget]) for run in runs])), 2),
        "ask_s": _rounded(np.mean(asks)),
        "ask_s_max": _rounded(np.max(asks)),
    }


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


def jobs(problems: Iterable[str], budgets: Sequence[int], seeds: int) -> list[tuple[str, str, int, int]]:
    """What to run, seed by seed: the largest budget alone, unless a side's sampler is another at a smaller one.

    A search with a smaller budget is the beginning of the longer one: the samplers here do not look at the budget.
    """
    wanted: dict[tuple[str, str], int] = {}
    for problem in problems:
        for side in SIDES:
            for budget in budgets:
                key = problem, sampler_of(side, problem, budget)
                wanted[key] = max(budget, wanted.get(key, 0))
    if any(find_spec(package) is None for package in ("torch", "scipy")):
        wanted = {key: budget for key, budget in wanted.items() if key[1] != "gp"}
        say("without torch: no gp side, and auto is tpe")
    return [(*key, seed, budget) for seed in range(seeds) for key, budget in wanted.items()]


def _read(path: Path | None) -> list[Run]:
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Run(**{**row, "values": tuple(row["values"]), "ask_s": tuple(row["ask_s"])}) for row in rows]


def _run_all(todo: Sequence[tuple[str, str, int, int]], processes: int, path: Path | None) -> Iterator[Run]:
    # Spawned, not forked: torch and OpenMP do not survive a fork. One thread each, as the processes fill the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for count, done in enumerate(pool.imap_unordered(run, todo), start=1):
            if path is not None:
                with path.open("a") as file:
                    file.write(json.dumps(asdict(done)) + "\n")
            say(f"{count}/{len(todo)} {done.problem} {done.sampler} seed {done.seed}")
            yield done


def main(arguments: Sequence[str] | None = None) -> Mapping[str, Any]:
    """Runs the command line; prints and returns the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_quality", description=__doc__)
    parser.add_argument("--only", action="append", choices=PROBLEMS, help="a problem; may be given several times")
    parser.add_argument("--trials", type=int, nargs="+", default=[30, 60, 120], metavar="N", help="budgets")
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="keeps each search as it ends; a later call goes on")
    given = parser.parse_args(arguments)
    about = surroundings()
    done = _read(given.runs)
    known = {(run.problem, run.sampler, run.seed): len(run.values) for run in done}
    problems = given.only or list(PROBLEMS)
    todo = [job for job in jobs(problems, given.trials, given.seeds) if known.get(job[:3], 0) < job[3]]
    done += _run_all(todo, given.processes, given.runs) if todo else []
    chosen = [run for run in done if run.problem in problems and run.seed < given.seeds]
    result = {
        "benchmark": "search_quality",
        "trials": given.trials,
        "seeds": given.seeds,
        "workers": WORKERS,
        **about,
        "problems": summarise(chosen, given.trials),
    }
    print(json.dumps(result, indent=2))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
