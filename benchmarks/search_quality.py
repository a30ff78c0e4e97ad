"""Simple regret after 30, 60 and 120 trials: our samplers, ClearML's Optuna strategy as it comes, and random search.

    make bench-search
    python -m benchmarks.search_quality --only branin --trials 30 --seeds 3

Eight workers run at once, in simulated time: each takes its next trial when its last one ends, and how long the n-th
trial runs is drawn from the seed, the same for all sides. What proposes the points is the real thing:
`clearml_hpo.search.samplers`, `clearml_hpo.search.learner` and the loop's choice of the next point on our sides; on the
stock side the sampler that `clearml.automation.optuna.OptimizerOptuna` leaves to Optuna, a flat space (it has no
conditions), and a duplicate that is pruned and counts as a trial. Nothing else is pruned, as the problems report one
value each.

With several objectives the measure is the hypervolume that is missing from that of all points which any side has found.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import itertools
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
from typing import Any, NamedTuple, Protocol

import numpy as np
import optuna

from benchmarks import search_problems, trained_fronts
from benchmarks.peers import PEERS
from benchmarks.place import say, surroundings
from benchmarks.problem import Problem, Reached, hypervolume
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler.points import Points
from clearml_hpo.search.distributions import as_optuna
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler, choose_sampler

HALVES = {
    **search_problems.HALVES,
    "fronts_choosing": tuple(trained_fronts.CHOOSING),
    "fronts_confirming": tuple(trained_fronts.CONFIRMING),
}
PROBLEMS = {**search_problems.PROBLEMS, **trained_fronts.CHOOSING, **trained_fronts.CONFIRMING}
GOAL = Goal((Objective.parse("validation/loss"),))
_FRONT_GOAL = Goal((Objective.parse("validation/loss"), Objective.parse("model/size")))
WORKERS = 8
_SPREAD = 0.4  # of the logarithm of a trial's duration
_RESAMPLES = 2000
STOCK = "stock"
# Side → the sampler that it names. `auto` is looked up: it runs whatever it picks at that budget.
SIDES = {
    "auto": "auto",
    "tpe": "tpe",
    "gp": "gp",
    "gp_tpe": "gp_tpe",
    STOCK: STOCK,
    "random": "random",
    "hyperopt": "hyperopt",
    "nevergrad": "nevergrad",
    "nsgaii": "nsgaii",
}
_ONE_OBJECTIVE = ("gp_tpe", "hyperopt", "nevergrad")
_SEVERAL_OBJECTIVES = ("nsgaii",)
# Of these a search with a smaller budget is not the beginning of the longer one: generations are smaller, too.
_BY_BUDGET = ("nsgaii",)
_PACKAGES = {"gp": ("torch", "scipy"), "gp_tpe": ("scipy",), "hyperopt": ("hyperopt",), "nevergrad": ("nevergrad",)}


class Job(NamedTuple):
    """One search that is to be run."""

    problem: str
    sampler: str
    seed: int
    trials: int
    workers: int = WORKERS


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        values: by trial number, without noise; None where the trial was a duplicate that did not run. With several
            objectives each is a sequence of numbers.
        seen: the values that the sampler was told.
        ask_s: processor seconds that the n-th trial's point took.
    """

    problem: str
    sampler: str
    seed: int
    values: tuple[Reached | None, ...]
    ask_s: tuple[float, ...]
    workers: int = WORKERS
    seen: tuple[Reached | None, ...] = ()

    def best(self, trials: int) -> float:
        """The value of the trial that looks best among the first ``trials``; with several objectives see `_lowest`."""
        pairs = zip(self.seen or self.values, self.values, strict=True)
        ran = [(seen, value) for seen, value in itertools.islice(pairs, trials) if value is not None]
        if PROBLEMS[self.problem].reference:
            return _lowest(self.problem, [value for _, value in ran])
        return min(ran)[1]


class Side(Protocol):
    """What proposes points."""

    def ask(self, number: int) -> Params | None:
        """The point of trial ``number``; None if the trial is spent without a run."""

    def tell(self, number: int, value: Reached) -> None:
        """Trial ``number`` ended."""


class _Ours:
    """A sampler by name, as the loop uses it."""

    def __init__(self, problem: Problem, sampler: str, seed: int, trials: int) -> None:
        goal = _goal(problem)
        built = build_sampler(sampler, seed=seed, space=problem.space, goal=goal, trials=trials)
        self._study = OptunaStudy(problem.space, [each.direction for each in goal.objectives], sampler=built)
        self._points = Points(self._study, self._tell_known, rerun_duplicates=False)
        self._values: dict[int, Sequence[float]] = {}
        if problem.own is not None:
            own = problem.own
            self._points.enqueue(problem.space.build(lambda axis, _: own[axis]))

    def ask(self, number: int) -> Params | None:
        params = self._points.next(number)
        if params is not None:
            self._points.tried(number, params)
        return params

    def tell(self, number: int, value: Reached) -> None:
        self._values[number] = value if isinstance(value, tuple) else (value,)
        self._study.complete(number, self._values[number])

    def _tell_known(self, number: int, known: int) -> None:
        if known in self._values:
            self._study.complete(number, self._values[known])
        else:
            self._study.fail(number)


class _Stock:
    """What ``OptimizerOptuna`` does without a sampler of one's own, from the installed Optuna's defaults."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._distributions = {n: as_optuna(d) for n, d in problem.space.distributions.items()}
        directions = [each.direction for each in _goal(problem).objectives]
        self._study = optuna.create_study(directions=directions, sampler=optuna.samplers.TPESampler(seed=seed))
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

    def tell(self, number: int, value: Reached) -> None:
        self._study.tell(self._trials[number], value)


def search(
    side: Side, value_of: Callable[[Params], Reached], durations: Iterator[float], trials: int, workers: int = WORKERS
) -> Iterator[tuple[int, Reached | None, float]]:
    """Runs trials, ``workers`` at a time; yields number, value and the ask's processor seconds as they start."""
    running: list[tuple[float, int, Reached]] = []  # when it ends, number, value
    now = 0.0
    for number, duration in zip(range(trials), durations, strict=False):
        if len(running) == workers:
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


def run(job: tuple[Any, ...]) -> Run:
    """Runs one search: problem, sampler, seed, trials, and workers if they are not eight."""
    name, sampler, seed, trials, workers = Job(*job)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = PROBLEMS[name]
    noise = random.Random(f"{name} {seed}")
    true: list[Reached] = []

    def seen(params: Params) -> Reached:
        true.append(_trained(name, problem.space.build(lambda axis, _: problem.space.along_axes(params)[axis])))
        return true[-1] if isinstance(true[-1], tuple) else true[-1] + noise.gauss(0.0, problem.noise)

    generator = random.Random(seed)
    durations = iter(lambda: generator.lognormvariate(0.0, _SPREAD), None)
    rows = list(search(_side(problem, sampler, seed, trials, workers), seen, durations, trials, workers))
    values = iter(true)
    return Run(
        name,
        sampler,
        seed,
        tuple(None if row[1] is None else next(values) for row in rows),
        tuple(round(row[2], 5) for row in rows),
        workers,
        tuple(row[1] for row in rows),
    )


def _goal(problem: Problem) -> Goal:
    return _FRONT_GOAL if problem.reference else GOAL


def _lowest(problem: str, values: Sequence[Reached]) -> float:
    """The lowest value; with several objectives the hypervolume of the front, with a minus, as less is better here."""
    reference = PROBLEMS[problem].reference
    return -hypervolume(values, reference) if reference else min(values)


def _side(problem: Problem, sampler: str, seed: int, trials: int, workers: int) -> Side:
    if sampler == STOCK:
        return _Stock(problem, seed)
    if sampler in PEERS:
        side: Side = PEERS[sampler](problem, seed, trials, workers)
        return side
    return _Ours(problem, sampler, seed, trials)


def _trained(problem: str, params: Params) -> Reached:
    return _trained_once(problem, tuple(sorted(params.items())))


@functools.lru_cache(maxsize=100_000)
def _trained_once(problem: str, items: tuple[tuple[str, Any], ...]) -> Reached:
    return PROBLEMS[problem].value(dict(items))


def sampler_of(side: str, problem: str, trials: int) -> str:
    """The sampler that runs on a side at a budget."""
    if side == STOCK or side in PEERS:
        return side
    goal = _goal(PROBLEMS[problem])
    return choose_sampler(SIDES[side], space=PROBLEMS[problem].space, goal=goal, trials=trials).name


def summarise(runs: Iterable[Run], budgets: Sequence[int], workers: int = WORKERS) -> dict[str, Any]:
    """By problem, budget and side: the median regret, its 95 % bootstrap interval, and what ran."""
    runs = list(runs)
    result: dict[str, Any] = {}
    for problem in dict.fromkeys(run.problem for run in runs):
        here = [run for run in runs if run.problem == problem]
        optimum = PROBLEMS[problem].optimum
        known = [value for run in here for value in run.values if value is not None]
        best = _lowest(problem, known) if optimum is None else optimum
        here = [run for run in here if run.workers == workers]
        tables = {}
        for budget in budgets:
            by_side = {side: _of(here, sampler_of(side, problem, budget), budget) for side in SIDES}
            stock = {run.seed: run.best(budget) for run in by_side[STOCK]}
            tables[str(budget)] = {
                side: {**_figures(found, best, budget), **_against(stock, found, budget)}
                for side, found in by_side.items()
                if found
            }
        result[problem] = {"best": best, "known": optimum is not None, "regret": tables}
    return result


def verdicts(problems: Mapping[str, Any]) -> dict[str, Any]:
    """By half, budget and side: on how many problems a side is below stock, and significantly below or above it."""
    result: dict[str, Any] = {}
    for half, names in HALVES.items():
        for name in names:
            for budget, sides in problems.get(name, {}).get("regret", {}).items():
                for side, figures in sides.items():
                    if "against_stock" not in figures:
                        continue
                    counts = (
                        result.setdefault(half, {})
                        .setdefault(budget, {})
                        .setdefault(side, {"problems": 0, "below": 0, "level": 0, "surely_below": 0, "surely_above": 0})
                    )
                    low, high = figures["against_stock"]
                    difference = figures["median"] - sides[STOCK]["median"]
                    counts["problems"] += 1
                    counts["below"] += difference < 0
                    counts["level"] += difference == 0
                    counts["surely_below"] += high < 0
                    counts["surely_above"] += low > 0
    return result


def _of(runs: Iterable[Run], sampler: str, budget: int) -> list[Run]:
    return [
        run
        for run in runs
        if run.sampler == sampler
        and len(run.values) >= budget
        and _budget(sampler, len(run.values)) == _budget(sampler, budget)
    ]


def _budget(sampler: str, trials: int) -> int:
    """What tells searches of one seed apart: 0 if all budgets have the same beginning."""
    return trials if sampler in _BY_BUDGET else 0


def _against(stock: Mapping[int, float], runs: Sequence[Run], budget: int) -> dict[str, Any]:
    """The 95 % bootstrap interval of the mean difference to stock with the same seed; below 0 is better."""
    if runs[0].sampler == STOCK:
        return {}
    pairs = np.array([run.best(budget) - stock[run.seed] for run in runs if run.seed in stock])
    if not len(pairs):
        return {}
    resampled = np.random.default_rng(0).choice(pairs, (_RESAMPLES, len(pairs)))
    return {"against_stock": [_rounded(each) for each in np.percentile(resampled.mean(axis=1), (2.5, 97.5))]}


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


def jobs(problems: Iterable[str], budgets: Sequence[int], seeds: int, workers: int, sides: Iterable[str]) -> list[Job]:
    """What to run, seed by seed: the largest budget alone, unless a side's sampler is another at a smaller one.

    A search with a smaller budget is the beginning of the longer one, but for the samplers of `_BY_BUDGET`.
    """
    wanted: dict[tuple[str, str, int], int] = {}
    for problem, side, budget in itertools.product(problems, sides, budgets):
        if side not in (_ONE_OBJECTIVE if PROBLEMS[problem].reference else _SEVERAL_OBJECTIVES):
            sampler = sampler_of(side, problem, budget)
            key = problem, sampler, _budget(sampler, budget)
            wanted[key] = max(budget, wanted.get(key, 0))
    missing = {name for name, packages in _PACKAGES.items() if any(find_spec(package) is None for package in packages)}
    for name in sorted(missing & {sampler for _, sampler, _ in wanted}):
        say(f"no {name} side: {' or '.join(_PACKAGES[name])} is not installed")
    wanted = {key: budget for key, budget in wanted.items() if key[1] not in missing}
    return [
        Job(problem, sampler, seed, budget, workers)
        for seed in range(seeds)
        for (problem, sampler, _), budget in wanted.items()
    ]


def _read(path: Path | None) -> list[Run]:
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Run(**{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}) for row in rows]


def _run_all(todo: Sequence[Job], processes: int, path: Path | None) -> Iterator[Run]:
    # Spawned, not forked: torch and OpenMP do not survive a fork. One thread each, as the processes fill the cores.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
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
    parser.add_argument("--half", action="append", choices=HALVES, help="all problems of it, as --only")
    parser.add_argument("--side", action="append", choices=SIDES, help="a side; may be given several times")
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N", help="trials at once (default 8)")
    parser.add_argument("--trials", type=int, nargs="+", default=[30, 60, 120], metavar="N", help="budgets")
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="keeps each search as it ends; a later call goes on")
    given = parser.parse_args(arguments)
    about = surroundings()
    done = _read(given.runs)
    known = {
        (run.problem, run.sampler, run.seed, run.workers, _budget(run.sampler, len(run.values))): len(run.values)
        for run in done
    }
    named = [*(given.only or ()), *(name for half in given.half or () for name in HALVES[half])]
    problems = named or list(PROBLEMS)
    wanted = jobs(problems, given.trials, given.seeds, given.workers, given.side or SIDES)
    todo = [
        job for job in wanted if known.get((*job[:3], job.workers, _budget(job.sampler, job.trials)), 0) < job.trials
    ]
    done += _run_all(todo, given.processes, given.runs) if todo else []
    chosen = [run for run in done if run.problem in problems and run.seed < given.seeds]
    figures = summarise(chosen, given.trials, given.workers)
    result = {
        "benchmark": "search_quality",
        "trials": given.trials,
        "seeds": given.seeds,
        "workers": given.workers,
        **about,
        "problems": figures,
        "verdicts": verdicts(figures),
    }
    print(json.dumps(result, indent=2))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
