"""Samplers by name: what proposes the next point of the search space.

All are Optuna's, with defaults for several trials at once (``constant_liar`` keeps parallel TPE trials apart). ``auto``
is what is best in general; today it makes the same sampler as ``tpe``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import optuna

from clearml_hpo.choices import check_options, choose
from clearml_hpo.errors import InputError

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
    "TPESampler": {"multivariate": True, "constant_liar": True},
    "QMCSampler": {"scramble": True, "warn_asynchronous_seeding": False},  # one process draws all points
}

# What Optuna imports only at the first draw; the extra of setup.cfg has the name of the sampler.
_PACKAGES: dict[str, tuple[str, ...]] = {
    "qmc": ("scipy",),
    "cmaes": ("cmaes",),
    "gp": ("scipy", "torch"),
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
    missing = [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]
    if missing:
        raise InputError(
            f"sampler {name}: the package {' and '.join(missing)} is missing: pip install 'clearml-hpo[{name}]'"
        )
    given = dict(options or {})
    check_options(sampler_class, given, "sampler.options", owned=("seed",))
    used = {**_DEFAULT_OPTIONS.get(class_name, {}), **given, "seed": seed}
    if class_name == "TPESampler":
        used.setdefault("group", bool(used["multivariate"]))  # Optuna refuses it without multivariate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: optuna.samplers.BaseSampler = sampler_class(**used)
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"sampler {name}: {error}") from error
    return sampler
