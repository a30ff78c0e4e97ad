"""A sampler and a pruner tried on made-up values, before trials depend on them.

Optuna looks at most options, and at the search space, only while it draws and judges.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna

from clearml_hpo.core.goal import Goal
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.space import SearchSpace

# Enough for the defaults: TPE and GP draw the first 10 points at random, the median pruner spares the first 5 trials.
_TRIALS = 15
_MOST_STARTUP_TRIALS = 200
_STEPS = (1, 10, 100, 1000)
_ENOUGH_S = 0.5
"""A rehearsal of sampler and pruner ends after this long."""


def try_sampler(
    sampler: optuna.samplers.BaseSampler, space: SearchSpace, goal: Goal, options: Mapping[str, Any]
) -> None:
    """Draws points and tells values until the first random phase of ``options`` is over, or for half a second.

    Raises:
        Exception: whatever the sampler makes of its options and of the space.
    """
    _play(_study(space, goal, sampler), goal, options, steps=())


def try_pruner(pruner: optuna.pruners.BasePruner, space: SearchSpace, goal: Goal, options: Mapping[str, Any]) -> None:
    """The same for a pruner, which judges runs of four steps."""
    study = _study(space, goal, optuna.samplers.RandomSampler(seed=0), pruner)
    _play(study, goal, options, _STEPS if study.prunes else ())


@contextmanager
def quiet() -> Iterator[None]:
    """Neither Optuna nor a warning prints a word."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(verbosity)


def _study(
    space: SearchSpace,
    goal: Goal,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner | None = None,
) -> OptunaStudy:
    directions = [objective.direction for objective in goal.objectives]
    pruned_by = goal.pruned_by.direction if goal.pruned_by else None
    return OptunaStudy(space, directions, sampler=sampler, pruner=pruner, pruned_by=pruned_by)


def _play(study: OptunaStudy, goal: Goal, options: Mapping[str, Any], steps: tuple[int, ...]) -> None:
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # again: OptunaStudy has set its own
    startup = options.get("n_startup_trials")
    trials = _TRIALS + (min(startup, _MOST_STARTUP_TRIALS) if isinstance(startup, int) else 0)
    ends_at = time.monotonic() + _ENOUGH_S
    for number in range(trials):
        study.ask(number)
        if any(study.report(number, step, math.sin(number * step)) for step in steps):
            study.prune(number)
        else:
            values = [math.sin(number + index) for index in range(len(goal.objectives))]
            study.complete(number, values, [math.cos(number)] * len(goal.constraints))
        if time.monotonic() > ends_at:
            return
