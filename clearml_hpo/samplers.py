"""Samplers by name: what proposes the next point of the search space.

All are Optuna's, with defaults for several trials at once (``constant_liar`` keeps parallel TPE trials apart).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from clearml_hpo.errors import InputError, nearest

DEFAULT = "auto"

_CLASSES: dict[str, str] = {
    "auto": "TPESampler",
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "brute_force": "BruteForceSampler",
}

_DEFAULT_OPTIONS: dict[str, dict[str, Any]] = {
    "TPESampler": {"multivariate": True, "group": True, "constant_liar": True},
    "QMCSampler": {"scramble": True},
}

NAMES = tuple(_CLASSES)


def build_sampler(
    name: str = DEFAULT, *, seed: int | None = None, options: Mapping[str, Any] | None = None
) -> optuna.samplers.BaseSampler:
    """Makes the sampler called ``name`` (see ``NAMES``).

    Raises:
        InputError: no such sampler or option, or a library that it needs is missing.
    """
    class_name = _CLASSES[choose(name, NAMES, "sampler.name")]
    sampler_class = getattr(optuna.samplers, class_name)
    given = dict(options or {})
    check_options(sampler_class, given, "sampler.options", owned=("seed",))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: optuna.samplers.BaseSampler = sampler_class(
                **{**_DEFAULT_OPTIONS.get(class_name, {}), **given, "seed": seed}
            )
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"sampler {name}: {error}") from error
    return sampler


def choose(name: str, allowed: tuple[str, ...], where: str) -> str:
    """Returns ``name`` if it is one of ``allowed``; else raises InputError with the nearest one."""
    if name in allowed:
        return name
    raise InputError(f"{where}: no such name: {name!r}{nearest(name, allowed)} (one of: {', '.join(allowed)})")


def check_options(cls: type, options: Mapping[str, Any], where: str, owned: tuple[str, ...] = ()) -> None:
    """Raises InputError if ``cls`` does not take one of ``options``; ``owned`` are set elsewhere."""
    parameters = inspect.signature(cls).parameters
    allowed = tuple(p for p in parameters if p not in owned)
    for option in options:
        choose(option, allowed, where)
