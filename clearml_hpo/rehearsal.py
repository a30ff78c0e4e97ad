"""The sampler and the pruner of a study file at work on made-up values, before trials depend on them.

Optuna looks at most options, and at the search space, only while it draws and judges.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna

from clearml_hpo.errors import Fault, InputError
from clearml_hpo.objective import Goal
from clearml_hpo.pruners import build_pruner
from clearml_hpo.samplers import build_sampler
from clearml_hpo.spec import StudyFile
from clearml_hpo.study import OptunaStudy

# Enough for the defaults: TPE and GP draw the first 10 points at random, the median pruner spares the first 5 trials.
_TRIALS = 15
_MOST_STARTUP_TRIALS = 200
_STEPS = (1, 10, 100, 1000)
_ENOUGH_S = 0.5


def rehearse(file: StudyFile) -> None:
    """Lets instances of their own draw some points and judge some runs, within about a second and without a word.

    Raises:
        InputError: a line, with file and line of the key, for each of the two that raised an error.
    """
    faults = []
    for key, rehearsal in (("sampler", _rehearse_sampler), ("pruner", _rehearse_pruner)):
        given = getattr(file.spec, key)
        try:
            with _quiet():
                rehearsal(file)
        except Exception as error:  # whatever Optuna, or what it calls, makes of options that nobody has looked at
            options = f" with options {given.options}" if given.options else ""
            faults.append(Fault((key,), f"{given.name}{options} fails on this study: {type(error).__name__}: {error}"))
    if faults:
        raise InputError(file.explain(faults))


def rehearse_all(files: Iterable[StudyFile]) -> None:
    """Rehearses each sampler and pruner of several studies once for each space that it is used with."""
    seen = set()
    for file in files:
        space = {name: str(parameter) for name, parameter in file.space.distributions.items()}
        key = (file.spec.sampler.model_dump_json(), file.spec.pruner.model_dump_json(), str(space), str(file.goal))
        if key not in seen:
            seen.add(key)
            rehearse(file)


def _rehearse_sampler(file: StudyFile) -> None:
    _play(_study(file, _sampler(file)), file.goal, file.spec.sampler.options, steps=())


def _rehearse_pruner(file: StudyFile) -> None:
    given = file.spec.pruner
    study = _study(file, optuna.samplers.RandomSampler(seed=0), build_pruner(given.name, options=given.options))
    _play(study, file.goal, given.options, _STEPS if study.prunes else ())


def _sampler(file: StudyFile) -> optuna.samplers.BaseSampler:
    given, trials = file.spec.sampler, file.spec.budget.trials
    return build_sampler(
        given.name, seed=given.seed, options=given.options, space=file.space, goal=file.goal, trials=trials
    )


def _study(
    file: StudyFile, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner | None = None
) -> OptunaStudy:
    directions = [objective.direction for objective in file.goal.objectives]
    pruned_by = file.goal.pruned_by.direction if file.goal.pruned_by else None
    return OptunaStudy(file.space, directions, sampler=sampler, pruner=pruner, pruned_by=pruned_by)


def _play(study: OptunaStudy, goal: Goal, options: Mapping[str, Any], steps: tuple[int, ...]) -> None:
    """Asks and tells until the options' first random phase is over, or time is up."""
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


@contextmanager
def _quiet() -> Iterator[None]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(verbosity)
