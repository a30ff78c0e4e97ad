"""A study of a Python function, as Optuna's ``study.optimize``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from clearml_hpo.core.errors import InputError
from clearml_hpo.functions.packing import pack
from clearml_hpo.functions.trial_runner import OBJECTIVE, SERIES
from clearml_hpo.studies.defined import DefinedStudy

Direction = Literal["minimize", "maximize"]


def study_of(
    objective: Callable[..., Any],
    *,
    name: str | None = None,
    directions: Sequence[Direction] = ("minimize",),
    n_trials: int | None = None,
    timeout: float | None = None,
    budget: Mapping[str, Any] | None = None,
    **keys: Any,
) -> DefinedStudy:
    """A study whose trials call ``objective``; see :func:`optimize`.

    Raises:
        InputError: no budget is given, or the function cannot be pickled.
    """
    limits = {"trials": n_trials, "time": timeout, **(budget or {})}
    limits = {key: limit for key, limit in limits.items() if limit is not None}
    if not limits:
        raise InputError("optimize: give n_trials or timeout: a study without a budget never ends")
    folder = Path.cwd()
    script = pack(objective, folder)
    series = [SERIES] if len(directions) == 1 else [f"{SERIES} {index}" for index in range(len(directions))]
    return DefinedStudy(
        {
            "study": name or script.stem,
            "template": {
                "script": str(script),
                "directory": str(folder),
                "files": [str(script.with_name("objective.pkl"))],
            },
            "search_space": {},
            "define_by_run": True,
            "objective": [
                {"metric": f"{OBJECTIVE}/{one}", "direction": direction}
                for one, direction in zip(series, directions, strict=True)
            ],
            "budget": limits,
            **keys,
        }
    )


def optimize(
    objective: Callable[..., Any],
    n_trials: int | None = None,
    *,
    direction: Direction = "minimize",
    directions: Sequence[Direction] | None = None,
    timeout: float | None = None,
    name: str | None = None,
    local: bool = False,
    cpu: int | None = None,
    gpus: Sequence[int | str] | None = None,
    per_gpu: int | None = None,
    threads: int | None = None,
    new: bool = False,
    **keys: Any,
) -> DefinedStudy:
    """Runs ``objective(trial)`` in trials that are ClearML tasks, until the budget is used up; the study.

    ::

        def objective(trial):
            x = trial.suggest_float("x", -10, 10)
            return (x - 2) ** 2

        study = clearml_hpo.optimize(objective, n_trials=50, local=True)
        study.best.params

    The function goes to its trials by value, with the user's own modules that it uses. Trials run in warm workers of
    this machine (``local``, ``cpu``, ``gpus``), or under the agents of ``execution={"queue": ...}``. The same function
    under the same name goes on with its study.

    Args:
        objective: takes a trial (``suggest_float``, ``suggest_int``, ``suggest_categorical``, ``report``,
            ``should_prune``, ``set_user_attr``); returns a number, or one for each of ``directions``.
        n_trials: the budget of trials.
        timeout: the budget of time, in seconds.
        name: the study's name; default: the function's.
        local, cpu, gpus, per_gpu, threads, new: as for :meth:`Study.run`.
        keys: all other keys of a study file: ``project``, ``sampler``, ``pruner``, ``execution``, ...

    Raises:
        InputError: the function cannot be pickled, or the study exists with another function.
        StudyError: it failed; the message has the reason.
    """
    study = study_of(
        objective, name=name, directions=directions or (direction,), n_trials=n_trials, timeout=timeout, **keys
    )
    return study.run(local=local, cpu=cpu, gpus=gpus, per_gpu=per_gpu, threads=threads, new=new)
