"""What pruners save, and what they cost: regret and compute on learning curves of really trained models.

    make bench-pruning
    python -m benchmarks.pruning --models 40 --seeds 5 --only xgboost

A study runs so many random models of a set with eight workers, in simulated time: each step takes as long as any other.
The pruner is asked by the product's own code at every step. Prints JSON: of each pruner the share of the steps that
were trained, the regret (how much worse the best completed trial is than the best that no pruner would have ended, in
percent of what the median trial is worse than that one), and in how many studies that best one was ended.

``--budget 15`` gives each study as many steps as 15 full trainings have, in place of a number of trials: whoever ends
trials early tries more of them. What runs when they are used up is completed. Regret is then counted from the best of
all models.

``asha`` and ``multi-fidelity hyperband`` are what ``fidelity`` of a study file does, from a share of the length on:
trials pause, and go on from a checkpoint, which costs nothing here.

``--noise 0.3`` adds noise to each step before the pruner sees it: its standard deviation is this share of how much
worse the median trial is than the best one. Regret is that of the values without noise.

``revived``: at the end so many pruned trials are trained anew, without a pruner, as a trial that was ended has no
checkpoint. Those come first whose best value, when they were pruned, was lowest beside that of the best completed trial
at the same step.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import os
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import optuna

from benchmarks.learning_curves import BY_CHOICE, SETS, TO_CONFIRM, Curve, curves
from benchmarks.place import say, surroundings
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.fidelity import Fidelity, lengths_between
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.pruners import build_pruner
from clearml_hpo.search.space import Float, SearchSpace

WORKERS = 8
_RESAMPLES = 10_000
PRUNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none", {}),
    "falling": ("falling", {}),
    "median (stock's)": ("median", {}),
    "median after 5 trials, 10 steps": ("median", {"n_startup_trials": 5, "n_warmup_steps": 10}),
    "halving": ("successive_halving", {}),
    "hyperband": ("hyperband", {}),
    "patient alone": ("patient", {"patience": 10}),
    **{f"falling, {count} revived": ("falling", {"revived": count}) for count in (1, 2, 4)},
    "asha, 1/4 to 1": ("fidelity", {"factor": 2, "lengths": 3}),
    "asha, 1/8 to 1": ("fidelity", {"factor": 2, "lengths": 4}),
    "asha, 1/16 to 1": ("fidelity", {"factor": 2, "lengths": 5}),
    "asha by 3, 1/3 to 1": ("fidelity", {"factor": 3, "lengths": 2}),
    "asha by 3, 1/9 to 1": ("fidelity", {"factor": 3, "lengths": 3}),
    "multi-fidelity hyperband, 1/8 to 1": ("fidelity", {"factor": 2, "lengths": 4, "is_hyperband": True}),
    "multi-fidelity hyperband by 3, 1/9 to 1": ("fidelity", {"factor": 3, "lengths": 3, "is_hyperband": True}),
}


def study(
    trained: Sequence[Curve], pruner: str, options: dict[str, Any], noise: float = 0.0, budget: int | None = None
) -> tuple[float, float, bool]:
    """Share of the steps, regret in percent, and whether the best one was ended, of one study.

    ``budget``: so many full trainings have the steps that it may take.
    """
    ends = [curve[-1] for curve in trained]
    best = min(ends)
    spread = statistics.median(ends) - best
    drawn = random.Random(len(trained))
    seen = [[value + drawn.gauss(0.0, noise * spread) for value in curve] if noise else curve for curve in trained]
    most = budget * len(trained[0]) if budget else sum(map(len, trained))
    steps, kept = (_paused if pruner == "fidelity" else _pruned)(seen, most, pruner, options)
    found = min((ends[number] for number in kept), default=max(ends))
    return steps / most, 100 * (found - best) / spread if spread else 0.0, bool(found > best)


def _pruned(
    seen: Sequence[Sequence[float]], most: int, pruner: str, options: dict[str, Any]
) -> tuple[int, Sequence[int]]:
    """Steps and completed trials of a study whose trials are pruned, and some of these revived at the end."""
    revived, options = options.get("revived", 0), {key: v for key, v in options.items() if key != "revived"}
    learner = OptunaStudy(_space(), ["minimize"], sampler=optuna.samplers.RandomSampler(seed=0),
                          pruner=build_pruner(pruner, options=options))  # fmt: skip
    running: list[tuple[int, int, int]] = []  # time, worker, trial
    waiting = iter(range(len(seen)))
    steps, kept = 0, []
    pruned: dict[int, int] = {}  # by trial, the step
    for worker in range(WORKERS):
        if (number := next(waiting, None)) is not None:
            learner.ask(number)
            heapq.heappush(running, (1, worker, number))
    done = [0] * len(seen)
    while running:
        time, worker, number = heapq.heappop(running)
        step, curve = done[number] + 1, seen[number]
        done[number], steps = step, steps + 1
        ended = learner.report(number, step, curve[step - 1]) and step < len(curve)
        if not ended and step < len(curve):
            heapq.heappush(running, (time + 1, worker, number))
            continue
        if ended:
            learner.prune(number)
            pruned[number] = step
        else:
            learner.complete(number, (curve[-1],))
            kept.append(number)
        if steps < most and (following := next(waiting, None)) is not None:
            learner.ask(following)
            heapq.heappush(running, (time + 1, worker, following))
    again = _nearest(seen, kept, pruned)[:revived]
    return steps + sum(len(seen[number]) for number in again), [*kept, *again]


def _paused(
    seen: Sequence[Sequence[float]], most: int, pruner: str, options: dict[str, Any]
) -> tuple[int, Sequence[int]]:
    """Steps and completed trials of a study whose trials pause, and go on by the product's own rule."""
    length, factor = len(seen[0]), options["factor"]
    lengths = lengths_between(max(1, int(length / factor ** (options["lengths"] - 1))), length, factor)
    fidelity = Fidelity("General/x", lengths, factor, options.get("is_hyperband", False))
    goal, waiting = Goal((Objective("a", "b"),)), iter(range(len(seen)))
    trials: dict[int, Trial] = {}
    earlier: list[Trial] = []
    running: list[tuple[int, int, int]] = []  # time, worker, trial

    def goes_on() -> tuple[int, int] | None:
        """What a free worker takes: the trial, and until where."""
        for at_end in (False, True):
            for paused in fidelity.promotable(trials.values(), earlier, goal, at_end=at_end and not running):
                return paused.number, fidelity.after(paused.length)
            if not at_end and (number := next(waiting, None)) is not None:
                return number, fidelity.first(number)
        return None

    steps, time, idle = 0, 0, list(range(WORKERS))
    while True:
        while idle and (taken := goes_on()) is not None:
            number, until = taken
            before = trials.get(number)
            needed = until - (before.length if before else 0)
            if steps + needed > most:
                idle.clear()
                break
            earlier += [before] if before else []
            trials[number] = Trial(number, {}, f"{number}:{until}", state=TrialState.RUNNING, length=until)
            heapq.heappush(running, (time + needed, idle.pop(0), number))
            steps += needed
        if not running:
            return steps, [trial.number for trial in trials.values() if trial.state is TrialState.COMPLETED]
        time, worker, number = heapq.heappop(running)
        trial = trials[number]
        state = TrialState.COMPLETED if fidelity.is_last(trial.length) else TrialState.PAUSED
        trials[number] = replace(trial, state=state, values=(seen[number][trial.length - 1],))
        idle.append(worker)


def _nearest(seen: Sequence[Curve], kept: Sequence[int], pruned: dict[int, int]) -> list[int]:
    """The pruned trials, those first that were nearest to the best completed one, or ahead of it."""
    best = seen[min(kept, key=lambda number: seen[number][-1])]
    return sorted(pruned, key=lambda number: min(seen[number][: pruned[number]]) - min(best[: pruned[number]]))


def _space() -> SearchSpace:
    return SearchSpace({"General/x": Float(0.0, 1.0)})


def of_set(
    name: str, *, models: int, trials: int, seeds: int, noise: float = 0.0, budget: int | None = None
) -> dict[str, Any]:
    """All pruners on one set."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = curves(name, models)
    found: dict[str, Any] = {}
    for side, (pruner, options) in PRUNERS.items():
        runs = [
            study(random.Random(seed).sample(made, trials), pruner, options, noise, budget) for seed in range(seeds)
        ]
        shares, regrets, lost = zip(*runs, strict=True)
        found[side] = {
            "compute": round(statistics.mean(shares), 3),
            "regret_pct": round(statistics.mean(regrets), 2),
            "regret_interval": interval(regrets),
            "regret_median": round(statistics.median(regrets), 2),
            "best_ended_pct": round(100 * statistics.mean(lost), 1),
        }
    return {"set": name, "pruners": found}


def summary(results: Sequence[dict[str, Any]], sets: Sequence[str]) -> dict[str, Any]:
    """Means over some sets, and the interval of the mean regret: another choice of sets would have another."""
    chosen = [each["pruners"] for each in results if each["set"] in sets]
    return {
        side: {
            **{
                key: round(statistics.mean(each[side][key] for each in chosen), 3)
                for key in ("compute", "regret_pct", "best_ended_pct")
            },
            "regret_interval": interval([each[side]["regret_pct"] for each in chosen]),
        }
        for side in (PRUNERS if chosen else ())
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean."""
    resampled = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))
    low, high = np.percentile(resampled.mean(axis=1), (2.5, 97.5))
    return round(float(low), 2), round(float(high), 2)


def _results(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    names = [name for name in SETS if given.only is None or given.only in name]
    work = partial(of_set, models=given.models, trials=given.trials, seeds=given.seeds, noise=given.noise,
                   budget=given.budget)  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for found in pool.imap_unordered(work, names):
            say(f"{found['set']}: {found['pruners'].get('falling')}")
            yield found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pruning", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--models", type=int, default=120, help="trained for each set")
    parser.add_argument("--trials", type=int, default=60, help="of a study")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--noise", type=float, default=0.0, help="of each step; a share of the spread of the ends")
    parser.add_argument("--budget", type=int, help="steps of a study, in full trainings")
    parser.add_argument("--only", help="sets whose name has this")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    results = list(_results(given))
    told = {
        "benchmark": "pruning",
        "settings": vars(given),
        "to_choose_by": summary(results, BY_CHOICE),
        "to_confirm": summary(results, TO_CONFIRM),
        "sets": sorted(results, key=lambda each: SETS.index(each["set"])),
    }
    print(json.dumps({**told, **surroundings()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
