"""When a study may stop: trials saved and regret paid by ``no_improvement`` and ``until: flat``.

    python -m benchmarks.stopping --half confirming --seeds 4 --runs stopping.jsonl

Searches of the trained problems, eight workers in simulated time, each of so many trials with TPE. The product's own
budgets are then asked after each end. Prints JSON: of each rule the share of the trials saved, the regret that was paid
(how much worse the best trial is than that of the whole search, in percent of what the whole search has gained over the
median of its first ten trials: mean, median and the worst search), and how many searches it has not ended.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import statistics
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import optuna

from benchmarks.place import say, surroundings
from benchmarks.search_problems import HALVES, PROBLEMS
from benchmarks.search_quality import GOAL, WORKERS
from clearml_hpo.core.budget import FIRST_TRIALS, Budget
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.policy import Policy
from clearml_hpo.scheduler.prospects import Prospects
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler

_SPREAD = 0.4  # of the logarithm of a trial's duration
RULES: Mapping[str, Budget] = {
    **{
        f"no_improvement {trials}, min_gain {gain:g}": Budget(stale_trials=trials, min_gain=gain)
        for trials in (20, 30)
        for gain in (0.0, 0.001, 0.01)
    },
    **{f"until flat {share:g}": Budget(flat=share) for share in (0.005, 0.01, 0.02, 0.03)},
}


class End(NamedTuple):
    """A trial that has ended: its point, its value, and what the study saw of that."""

    params: Params
    value: float
    seen: float


def search(name: str, seed: int, trials: int) -> list[End]:
    """One search, in the order in which its trials end."""
    problem, durations, noise = PROBLEMS[name], random.Random(seed), random.Random(f"{name} {seed}")
    sampler = build_sampler("tpe", seed=seed, space=problem.space, goal=GOAL, trials=trials)
    study = OptunaStudy(problem.space, ["minimize"], sampler=sampler)
    running: list[tuple[float, int, End]] = []
    ended: list[End] = []
    now = 0.0
    for number in range(trials + WORKERS):
        if len(running) == WORKERS or number >= trials:
            if not running:
                break
            now, last, end = heapq.heappop(running)
            study.complete(last, (end.seen,))
            ended.append(end)
        if number < trials:
            params = study.ask(number)
            value = problem.value(params)
            end = End(params, value, value + noise.gauss(0.0, problem.noise))
            heapq.heappush(running, (now + durations.lognormvariate(0.0, _SPREAD), number, end))
    return ended


def stops_after(name: str, ended: Sequence[End], budget: Budget) -> int:
    """After how many trials the budget ends the search; all of them if it does not."""
    study = OptunaStudy(PROBLEMS[name].space, ["minimize"])
    context = Context(study, cast(Any, None), cast(Any, None), GOAL, Policy(budget))
    ledger = Ledger(GOAL, 0.0, lambda: budget.min_gain)
    prospects = Prospects(context, lambda: ledger.gained)
    for number, end in enumerate(ended):
        trial = Trial(number, end.params, str(number), state=TrialState.COMPLETED, values=(end.seen,), ended_at=number)
        context.roster.settle(trial)
        ledger.decided(trial, number)
        prospects.look()
        if budget.reached(replace(ledger.spent(number, 0.0, list), to_gain=prospects.gain)):
            return number + 1
    return len(ended)


def _best(ended: Sequence[End]) -> float:
    return min(ended, key=lambda end: end.seen).value


def figures(searches: Mapping[tuple[str, int], Sequence[End]], budget: Budget) -> dict[str, Any]:
    """Of one rule."""
    saved, paid, never = [], [], 0
    for (name, _), ended in searches.items():
        count = stops_after(name, ended, budget)
        gained = statistics.median(end.value for end in ended[:FIRST_TRIALS]) - _best(ended)
        saved.append(1 - count / len(ended))
        paid.append(100 * (_best(ended[:count]) - _best(ended)) / gained)
        never += count == len(ended)
    return {
        "saved_pct": round(100 * statistics.mean(saved), 1),
        "regret_pct": {
            "mean": round(statistics.mean(paid), 2),
            "median": round(statistics.median(paid), 2),
            "worst": round(max(paid), 1),
        },
        "not_ended": never,
    }


def _searches(
    names: Sequence[str], seeds: int, trials: int, path: Path | None
) -> Iterator[tuple[tuple[str, int], list[End]]]:
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []
    known = {(name, seed): [End(*end) for end in ended] for name, seed, ended in kept if len(ended) == trials}
    for seed in range(seeds):
        for name in names:
            if (name, seed) not in known:
                known[name, seed] = search(name, seed, trials)
                say(f"{name} seed {seed}")
                if path is not None:
                    with path.open("a") as file:
                        file.write(json.dumps([name, seed, known[name, seed]]) + "\n")
            yield (name, seed), known[name, seed]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stopping", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--half", choices=HALVES, default="confirming")
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--runs", type=Path, metavar="FILE", help="keeps each search as it ends; a later call goes on")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searches = dict(_searches(list(HALVES[given.half]), given.seeds, given.trials, given.runs))
    told = {"benchmark": "stopping", "half": given.half, "trials": given.trials, "searches": len(searches)}
    rules = {name: figures(searches, budget) for name, budget in RULES.items()}
    print(json.dumps({**told, **surroundings(), "rules": rules}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
