"""What earlier studies give: ``warm_start: auto`` against none, and its values against its points alone.

    python -m benchmarks.earlier_points --seeds 5
    python -m benchmarks.earlier_points --same-data --budgets 10 20 30

Each model is searched on several data sets, 60 trials one at a time. Then each data set in turn is the new one: its
search begins with the best point of each of the others, or without them. With ``--same-data`` the new data set is that
of the earlier search. Then two sides begin with that search's first and best points; as soon as both have been repeated
the side ``values`` also knows the values of its 60 trials.

Prints JSON: by data set and budget the median regret of each side, in percent of what a search without has gained over
the median of its first ten trials, and how many pairs of searches the side named last has won and lost against the side
before it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import optuna

from benchmarks.place import say, surroundings
from benchmarks.search_quality import GOAL
from benchmarks.trained_problems import (
    _SVR,
    _classifier_space,
    _classifiers,
    _svr,
)
from clearml_hpo.controller.repeats import EarlierValues, Repeats
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.mirror import Known
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.search.space import SearchSpace

FIRST = 10
Search: TypeAlias = list[tuple[float, Params]]
FAMILIES: Mapping[str, tuple[SearchSpace, Callable[[str], Callable[[Params], float]], Sequence[str]]] = {
    "svr": (_SVR, _svr, ("friedman1", "friedman2", "diabetes")),
    "classifiers": (_classifier_space(), _classifiers, ("wine", "moons", "blobs", "breast_cancer")),
}


def search(
    space: SearchSpace,
    value: Callable[[Params], float],
    seed: int,
    trials: int,
    sampler: str,
    first: Sequence[Params] = (),
    earlier: Search = (),
) -> Search:
    """The values and points of one search, in their order; ``earlier`` counts once its values are repeated."""
    built = build_sampler(sampler, seed=seed, space=space, goal=GOAL, trials=trials)
    study = OptunaStudy(space, ["minimize"], sampler=built)
    unused = itertools.count(-1, -1)

    def tell(known: Known) -> None:
        study.restore(next(unused), known.params, "completed", known.values)

    values = EarlierValues("earlier", [Known(params, (value,)) for value, params in earlier])
    repeats = Repeats([values], tell, lambda note: None)
    found: Search = []
    for number in range(trials):
        if number < len(first):
            params = dict(first[number])
            study.add(number, params)
        else:
            params = study.ask(number)
        found.append((value(params), params))
        study.complete(number, (found[-1][0],))
        repeats.see(Trial(number, params, "", state=TrialState.COMPLETED, values=(found[-1][0],)))
    return found


def _best(ended: Search) -> tuple[float, Params]:
    return min(ended, key=lambda pair: pair[0])


def of_family(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """All data sets of a family, each in turn the new one."""
    space, problem, data = FAMILIES[name]
    cold = {
        each: [search(space, problem(each), seed, given.trials, given.sampler) for seed in range(given.seeds)]
        for each in data
    }
    say(f"{name}: searched without")

    def warm(new: str, seed: int, first: Sequence[Params], earlier: Search = ()) -> Search:
        return search(space, problem(new), seed + 1000, max(given.budgets), given.sampler, first, earlier)

    told: dict[str, Any] = {}
    for new in data:
        sides: dict[str, list[Search]] = {"without": cold[new]}
        if given.same_data:
            first_and_best = [[each[0][1], _best(each)[1]] for each in cold[new]]
            sides["without"] = [warm(new, seed, []) for seed in range(given.seeds)]
            sides["points"] = [warm(new, seed, first) for seed, first in enumerate(first_and_best)]
            sides["values"] = [warm(new, seed, first, cold[new][seed]) for seed, first in enumerate(first_and_best)]
        else:
            others = [cold[other] for other in data if other != new]
            sides["points"] = [
                warm(new, seed, [_best(each[seed])[1] for each in others]) for seed in range(given.seeds)
            ]
        told[new] = _figures(sides, cold[new], given.budgets)
        say(f"{name} {new}: {told[new]}")
    return told


def _figures(sides: Mapping[str, Sequence[Search]], cold: Sequence[Search], budgets: Sequence[int]) -> dict[str, Any]:
    least = min(_best(each)[0] for found in (*sides.values(), cold) for each in found)
    gained = [statistics.median(value for value, _ in each[:FIRST]) - least for each in cold]
    told = {}
    for budget in budgets:
        regrets = {
            side: [100 * (_best(each[:budget])[0] - least) / by for each, by in zip(found, gained, strict=True)]
            for side, found in sides.items()
        }
        before, last = [*regrets.values()][-2:]
        told[str(budget)] = {
            **{side: round(statistics.median(each), 2) for side, each in regrets.items()},
            "won": sum(w < c for w, c in zip(last, before, strict=True)),
            "lost": sum(w > c for w, c in zip(last, before, strict=True)),
        }
    return told


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.earlier_points", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--budgets", type=int, nargs="+", default=[10, 20, 40, 60])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sampler", default="auto", help="of all searches (default auto)")
    parser.add_argument("--same-data", action="store_true", help="the earlier search was of the new data set")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    families = {name: of_family(name, given) for name in FAMILIES}
    print(
        json.dumps({"benchmark": "earlier_points", **surroundings(), **vars(given), "regret_pct": families}, indent=2)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
