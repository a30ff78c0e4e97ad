"""Pruners by name: what ends a running trial that does not look promising.

A name of the table is one of Optuna's, or our own ``falling``; ``package.module.Class`` is one's own subclass of
Optuna's ``BasePruner``, with its keyword arguments as options. ``auto`` is ``falling`` where trials can be compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.pruners import BasePruner

from clearml_hpo.core.choices import Choice, check_options, choose, import_class, is_class_path
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal
from clearml_hpo.search.falling import STARTUP_TRIALS, FallingPruner
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.space import SearchSpace

DEFAULT = "auto"
NONE = "none"

_chosen = partial(Choice, "pruner")


def _patient(
    patience: int, min_delta: float = 0.0, wrapped: str | Mapping[str, Any] = NONE
) -> optuna.pruners.PatientPruner:
    """Ends a trial that has not improved for ``patience`` steps, if ``wrapped``, where one is given, agrees.

    ``wrapped`` is written as ``pruner`` itself is: ``median``, or ``{name: median, options: {n_warmup_steps: 5}}``.
    """
    inner: dict[str, Any] = {"name": wrapped} if isinstance(wrapped, str) else dict(wrapped)
    for key in inner:
        choose(key, ("name", "options"), "pruner.options.wrapped")
    name = inner.get("name", NONE)
    pruner = None if name == NONE else build_pruner(name, options=inner.get("options"))
    return optuna.pruners.PatientPruner(pruner, patience=patience, min_delta=min_delta)


_MAKERS: dict[str, Callable[..., BasePruner]] = {
    DEFAULT: FallingPruner,  # at most
    NONE: optuna.pruners.NopPruner,
    "falling": FallingPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "patient": _patient,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}

NAMES = tuple(_MAKERS)


def is_known_name(name: str) -> bool:
    """Whether :func:`build_pruner` may know ``name``; a dotted path is looked up only there."""
    return name in NAMES or is_class_path(name)


def choose_pruner(name: str, *, space: SearchSpace, goal: Goal, fidelity: Fidelity | None = None) -> Choice:
    """What ``name`` means for a study: ``auto`` picks a pruner, all other names stay.

    Whether trials report at each step is not known before some are complete: :func:`choose_by_reports`.
    """
    if name != DEFAULT:
        return _chosen(name, "as the study says")
    if fidelity is not None:
        return _chosen(NONE, "fidelity says which trials go on")
    if len(space.used_models) > 1:
        return _chosen(NONE, "several models: an iteration of one is not one of another")
    if goal.pruning_objective is None:
        return _chosen(NONE, "several objectives; pruner.metric can name what to judge trials by")
    metric = goal.pruning_objective.metric
    return _chosen("falling", f"by {metric}; the first {STARTUP_TRIALS} trials are left to complete")


def choose_by_reports(reports: Sequence[int], goal: Goal) -> Choice | None:
    """What ``auto`` means once trials are complete; None as long as that is open.

    Args:
        reports: how often each completed trial, of those that are known, has reported what is judged.
    """
    metric = goal.pruning_objective.metric if goal.pruning_objective else ""
    if any(count > 1 for count in reports):
        return _chosen("falling", f"trials report {metric} at several steps")
    if len(reports) < STARTUP_TRIALS:
        return None
    return _chosen(NONE, f"{len(reports)} trials are complete, and have reported {metric} once each")


def build_pruner(name: str = DEFAULT, *, options: Mapping[str, Any] | None = None) -> BasePruner:
    """Makes the pruner called ``name``: one of ``NAMES``, or ``package.module.Class``; for ``auto`` ``falling``.

    Raises:
        InputError: no such pruner or option, an option is missing, or its value refused.
    """
    maker = import_class(name, BasePruner, "pruner.name") if is_class_path(name) else _MAKERS[_known(name)]
    given = dict(options or {})
    if name == DEFAULT and given:
        raise InputError("pruner.options: auto takes none; name the pruner that they are for, such as falling")
    check_options(maker, given, "pruner.options")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner: BasePruner = maker(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"pruner {name}: {error}") from error
    return pruner


def remark(name: str, options: Mapping[str, Any] | None = None, *, models: int = 1, has_minimum: bool = False) -> str:
    """What is to be said of a pruner that a study names; empty if nothing is.

    Args:
        models: how many the study has.
        has_minimum: whether the study says how long a trial is left alone.
    """
    if models > 1 and name not in (DEFAULT, NONE) and not has_minimum:
        return (
            f"pruner: {name} compares trials of several models by iteration, which may not mean the same in each: "
            "set pruner.min_iterations, or leave the pruner out"
        )
    wrapped = (options or {}).get("wrapped", NONE)
    if name == "patient" and wrapped in (NONE, {"name": NONE}):
        return (
            "pruner: patient alone looks at no other trial, and ends good ones that rest for a while: "
            "give it another pruner, options: {patience: 5, wrapped: falling}"
        )
    return ""


def _known(name: str) -> str:
    return choose(name, NAMES, "pruner.name")
