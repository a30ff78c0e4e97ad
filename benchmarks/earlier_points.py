"""What the best points of earlier studies give on other data: ``warm_start: auto`` against none.

    python -m benchmarks.earlier_points --seeds 5

Each model is searched on several data sets, 60 trials with TPE, one at a time. Then each data set in turn is the new
one: its search begins with the best point of each of the others, or without them. Prints JSON: by data set and budget
the median regret with and without, in percent of what a search without has gained over the median of its first ten
trials, and how many pairs of searches the side with them has won and lost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from benchmarks.place import say, surroundings
from benchmarks.search_quality import GOAL
from benchmarks.trained_problems import (
    _SVR,
    _classifier_space,
    _classifiers,
    _svr,
)
from clearml_hpo.core.values import Params
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.search.space import SearchSpace

FIRST = 10
FAMILIES: Mapping[str, tuple[SearchSpace, Callable[[str], Callable[[Params], float]], Sequence[str]]] = {
    "svr": (_SVR, _svr, ("friedman1", "friedman2", "diabetes")),
    "classifiers": (_classifier_space(), _classifiers, ("wine", "moons", "blobs", "breast_cancer")),
}


def search(
    space: SearchSpace, value: Callable[[Params], float], seed: int, trials: int, first: Sequence[Params] = ()
) -> list[tuple[float, Params]]:
    """The values and points of one search, in their order."""
    sampler = build_sampler("tpe", seed=seed, space=space, goal=GOAL, trials=trials)
    study = OptunaStudy(space, ["minimize"], sampler=sampler)
    found = []
    for number in range(trials):
        if number < len(first):
            params = dict(first[number])
            study.add(number, params)
        else:
            params = study.ask(number)
        found.append((value(params), params))
        study.complete(number, (found[-1][0],))
    return found


def _best(ended: Sequence[tuple[float, Params]]) -> float:
    return min(value for value, _ in ended)


def of_family(name: str, seeds: int, trials: int, budgets: Sequence[int]) -> dict[str, Any]:
    """All data sets of a family, each in turn the new one."""
    space, problem, data = FAMILIES[name]
    cold = {each: [search(space, problem(each), seed, trials) for seed in range(seeds)] for each in data}
    say(f"{name}: searched without")
    told: dict[str, Any] = {}
    for new in data:
        rows: dict[int, dict[str, list[float]]] = {budget: {"without": [], "with": []} for budget in budgets}
        for seed in range(seeds):
            first = [min(cold[other][seed], key=lambda pair: pair[0])[1] for other in data if other != new]
            warm = search(space, problem(new), seed + 1000, trials, first)
            least = min(_best(warm), *(_best(each) for each in cold[new]))
            gained = statistics.median(value for value, _ in cold[new][seed][:FIRST]) - least
            for budget in budgets:
                rows[budget]["without"].append(100 * (_best(cold[new][seed][:budget]) - least) / gained)
                rows[budget]["with"].append(100 * (_best(warm[:budget]) - least) / gained)
        told[new] = {
            str(budget): {
                **{side: round(statistics.median(values), 2) for side, values in rows[budget].items()},
                "won": sum(w < c for w, c in zip(rows[budget]["with"], rows[budget]["without"], strict=True)),
                "lost": sum(w > c for w, c in zip(rows[budget]["with"], rows[budget]["without"], strict=True)),
            }
            for budget in budgets
        }
        say(f"{name} {new}: {told[new]}")
    return told


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.earlier_points", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--budgets", type=int, nargs="+", default=[10, 20, 40, 60])
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    families = {name: of_family(name, given.seeds, given.trials, given.budgets) for name in FAMILIES}
    print(
        json.dumps({"benchmark": "earlier_points", **surroundings(), **vars(given), "regret_pct": families}, indent=2)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
