"""How much the best trials depend on each parameter (PED-ANOVA: Watanabe, Bansal, Hutter 2023, as Optuna has it)."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from clearml_hpo.core.goal import Direction, Goal
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import as_text
from clearml_hpo.search.distributions import as_optuna
from clearml_hpo.search.space import SearchSpace

FEWEST_TRIALS = 10
_FEWEST_BEST = 2  # whose parameters are compared with all: of fewer than twenty trials, more than the best tenth
_BEST_SHARE = 0.1
_MOST_TRIALS = 1_000
_LOADING = Lock()


def importances(trials: Sequence[Trial], space: SearchSpace, goal: Goal, index: int = 0) -> dict[str, float]:
    """Shares of the varying parameters by name, which add up to 1; the largest first.

    A conditional parameter is judged by the trials in which it is active, and counts by their share. Of thousands of
    trials every second or third is looked at, which takes a quarter of a second. Empty if fewer
    than ``FEWEST_TRIALS`` trials of the space have a final value, or if nothing matters.

    Args:
        index: the objective that is explained.
    """
    done = [trial for trial in trials if trial.final_values is not None]
    if len(done) < FEWEST_TRIALS:
        return {}
    done = done[:: -(-len(done) // _MOST_TRIALS)]
    raw: dict[str, float] = {}
    for active, names in _active_together(done, space):
        distributions = {name: as_optuna(space.distributions[name]) for name in names}
        found = _divergences(active, distributions, goal.objectives[index].direction, index)
        raw |= {name: found[name] * len(active) / len(done) for name in names}
    total = sum(raw.values())
    return {n: raw[n] / total for n in sorted(raw, key=lambda n: -raw[n])} if total > 0 else {}


def _active_together(trials: Sequence[Trial], space: SearchSpace) -> list[tuple[list[Trial], list[str]]]:
    """Trials with the parameters that are active in just these; left out are parameters of few trials, or one value."""
    found: dict[tuple[str, ...], tuple[list[Trial], list[str]]] = {}
    for name, distribution in space.distributions.items():
        active = [trial for trial in trials if name in trial.params and distribution.contains(trial.params[name])]
        if len(active) >= FEWEST_TRIALS and len({as_text(trial.params[name]) for trial in active}) > 1:
            found.setdefault(tuple(trial.task_id for trial in active), (active, []))[1].append(name)
    return [*found.values()]


def importances_of_all(trials: Sequence[Trial], space: SearchSpace, goal: Goal) -> list[dict[str, float]]:
    """Those of each objective."""
    return [importances(trials, space, goal, index) for index in range(len(goal.objectives))]


def _divergences(
    trials: Sequence[Trial], distributions: dict[str, BaseDistribution], direction: Direction, index: int
) -> dict[str, float]:
    """By parameter, how far the distribution among the best trials is from that among all."""
    with _LOADING:
        evaluator = _ped_anova()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction)
    share = max(_BEST_SHARE, _FEWEST_BEST / len(trials))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluator is experimental, and says so each time
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: trial.params[name] for name in distributions},
                    distributions=distributions,
                    value=(trial.final_values or ())[index],
                )
                for trial in trials
            ]
        )
        found: dict[str, float] = evaluator(target_quantile=share).evaluate(study, params=list(distributions))
    return found


@cache
def _ped_anova() -> Any:
    """Optuna's ``PedAnovaImportanceEvaluator``, without scikit-learn.

    The other evaluators of its package load scikit-learn, which loads pandas: a second and 150 MB. Optuna bears that
    there is none, and this evaluator needs none. The package is forgotten again: who asks for it later gets all of it.
    """
    name, wanted = "optuna.importance", "sklearn"
    if name in sys.modules or wanted in sys.modules:
        return importlib.import_module(name).PedAnovaImportanceEvaluator
    lazy = optuna.importance
    sys.modules[wanted] = None  # type: ignore[assignment]  # what import takes for a package that is not there
    try:
        return importlib.import_module(name).PedAnovaImportanceEvaluator
    finally:
        del sys.modules[wanted]
        for loaded in [each for each in [*sys.modules] if each == name or each.startswith(f"{name}.")]:
            del sys.modules[loaded]
        optuna.importance = lazy
