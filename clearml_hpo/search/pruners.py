"""Pruners by name: what ends a running trial that does not look promising.

A name of the table is one of Optuna's, or our own ``falling``; ``package.module.Class`` is one's own subclass of
Optuna's ``BasePruner``, with its keyword arguments as options.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner

from clearml_hpo.core.choices import check_options, check_packages, choose, import_class, is_class_path
from clearml_hpo.core.errors import InputError
from clearml_hpo.search.falling import FallingPruner

DEFAULT = "none"


def _patient(
    patience: int, min_delta: float = 0.0, wrapped: str | Mapping[str, Any] = DEFAULT
) -> optuna.pruners.PatientPruner:
    """Ends a trial that has not improved for ``patience`` steps, if ``wrapped``, where one is given, agrees.

    ``wrapped`` is written as ``pruner`` itself is: ``median``, or ``{name: median, options: {n_warmup_steps: 5}}``.
    """
    inner: dict[str, Any] = {"name": wrapped} if isinstance(wrapped, str) else dict(wrapped)
    for key in inner:
        choose(key, ("name", "options"), "pruner.options.wrapped")
    name = inner.get("name", DEFAULT)
    pruner = None if name == DEFAULT else build_pruner(name, options=inner.get("options"))
    return optuna.pruners.PatientPruner(pruner, patience=patience, min_delta=min_delta)


_MAKERS: dict[str, Callable[..., BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "falling": FallingPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "patient": _patient,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}

_PACKAGES = {"wilcoxon": ("scipy",)}  # which Optuna imports at the first judgement only

NAMES = tuple(_MAKERS)


def is_known_name(name: str) -> bool:
    """Whether :func:`build_pruner` may know ``name``; a dotted path is looked up only there."""
    return name in NAMES or is_class_path(name)


def build_pruner(name: str = DEFAULT, *, options: Mapping[str, Any] | None = None) -> BasePruner:
    """Makes the pruner called ``name``: one of ``NAMES``, or ``package.module.Class``.

    Raises:
        InputError: no such pruner or option, an option is missing or its value refused, or a library is missing.
    """
    maker = import_class(name, BasePruner, "pruner.name") if is_class_path(name) else _MAKERS[_known(name)]
    check_packages(f"pruner {name}", _PACKAGES.get(name, ()), extra=name)
    given = dict(options or {})
    check_options(maker, given, "pruner.options")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner: BasePruner = maker(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"pruner {name}: {error}") from error
    return pruner


def remark(name: str, options: Mapping[str, Any] | None = None) -> str:
    """What is to be said of a pruner that a study names; empty if nothing is."""
    wrapped = (options or {}).get("wrapped", DEFAULT)
    if name == "patient" and wrapped in (DEFAULT, {"name": DEFAULT}):
        return (
            "pruner: patient alone looks at no other trial, and ends good ones that rest for a while: "
            "give it another pruner, options: {patience: 5, wrapped: falling}"
        )
    return ""


def _known(name: str) -> str:
    return choose(name, NAMES, "pruner.name")
