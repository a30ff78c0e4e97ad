"""Pruners by name: what ends a running trial that does not look promising."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from clearml_hpo.choices import check_options, choose
from clearml_hpo.errors import InputError

DEFAULT = "none"

_CLASSES: dict[str, str] = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
}

NAMES = tuple(_CLASSES)


def build_pruner(name: str = DEFAULT, *, options: Mapping[str, Any] | None = None) -> optuna.pruners.BasePruner:
    """Makes the pruner called ``name`` (see ``NAMES``).

    Raises:
        InputError: no such pruner or option, or an option's value is refused.
    """
    pruner_class = getattr(optuna.pruners, _CLASSES[choose(name, NAMES, "pruner.name")])
    given = dict(options or {})
    check_options(pruner_class, given, "pruner.options")
    try:
        pruner: optuna.pruners.BasePruner = pruner_class(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"pruner {name}: {error}") from error
    return pruner
