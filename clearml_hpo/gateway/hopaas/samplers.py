"""Samplers and pruners by the names that clients send, with bounds on each argument.

A name is a row of a table; nothing is looked up in a library by the text of a client.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from clearml_hpo.core.errors import InputError, nearest

_Reader: TypeAlias = Callable[[object], object]
"""From what a client sent to an option; raises ValueError with what is allowed."""


def _whole(low: int, high: int = 10**9) -> _Reader:
    def read(given: object) -> object:
        if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return given

    return read


def _number(low: float = -math.inf, high: float = math.inf) -> _Reader:
    def read(given: object) -> object:
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
        try:
            if is_number and math.isfinite(float(given)) and low <= given <= high:  # type: ignore[arg-type, operator]
                return given
        except OverflowError:  # of an int that is no float
            pass
        raise ValueError("a finite number" if high == math.inf else f"a number from {low:g} to {high:g}")

    return read


def _bool(given: object) -> object:
    if not isinstance(given, bool):
        raise ValueError("true or false")
    return given


def _or(word: str | None, reader: _Reader) -> _Reader:
    def read(given: object) -> object:
        try:
            return given if given == word else reader(given)
        except ValueError as error:
            raise ValueError(f"{'null' if word is None else word}, or {error}") from None

    return read


@dataclass(frozen=True)
class _Kind:
    """A row: our name, readers by the client's argument, our names of those that differ, and what is dropped."""

    name: str
    arguments: Mapping[str, _Reader] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


_SEED = {"seed": _whole(0, 2**32 - 1)}
_TPE = _Kind(
    "tpe",
    {
        "n_startup_trials": _whole(0, 10_000),
        "n_ei_candidates": _whole(1, 1_000),
        "multivariate": _bool,
        "constant_liar": _bool,
        **_SEED,
    },
    dropped=("consider_magic_clip",),
)
_STEPS = {"n_warmup_steps": _whole(0), "interval_steps": _whole(1)}
_OF_OTHERS = {"n_startup_trials": _whole(0), **_STEPS, "n_min_trials": _whole(1)}

_SAMPLERS: Mapping[str, _Kind] = {
    "TPESampler": _TPE,
    "RandomSampler": _Kind("random", _SEED),
    "Sampler": _Kind("tpe"),
}
_PRUNERS: Mapping[str, _Kind] = {
    "NopPruner": _Kind("none"),
    "MedianPruner": _Kind("median", _OF_OTHERS),
    "PercentilePruner": _Kind("percentile", {"percentile": _number(0, 100), **_OF_OTHERS}),
    "ThresholdPruner": _Kind("threshold", {"lower": _or(None, _number()), "upper": _or(None, _number()), **_STEPS}),
    "HyperbandPruner": _Kind(
        "hyperband",
        {
            "min_resources": _whole(1),
            "max_resources": _or("auto", _whole(1)),
            "reduction_factor": _whole(2),
            "bootstrap_count": _whole(0),
        },
        renamed={"min_resources": "min_resource", "max_resources": "max_resource"},
    ),
    "SuccessiveHalvingPruner": _Kind(
        "successive_halving",
        {
            "min_resource": _or("auto", _whole(1)),
            "reduction_factor": _whole(2),
            "min_early_stopping_rate": _whole(0, 100),
            "bootstrap_count": _whole(0),
        },
    ),
    "Pruner": _Kind("none"),
}


def read_sampler(given: object) -> dict[str, Any]:
    """The block ``sampler`` of a study file. Raises InputError."""
    name, options = _read(given, _SAMPLERS, "hopaas_config.sampler", "TPESampler")
    seed = {"seed": options.pop("seed")} if "seed" in options else {}
    return {"name": name, **seed, **({"options": options} if options else {})}


def read_pruner(given: object) -> dict[str, Any]:
    """The block ``pruner`` of a study file. Raises InputError."""
    name, options = _read(given, _PRUNERS, "hopaas_config.pruner", "NopPruner")
    return {"name": name, **({"options": options} if options else {})}


def _read(given: object, kinds: Mapping[str, _Kind], where: str, default: str) -> tuple[str, dict[str, Any]]:
    """Our name and options. Raises InputError."""
    if given is None:
        return kinds[default].name, {}
    if not isinstance(given, dict) or not given.keys() <= {"name", "args"}:
        raise InputError(f"{where}: expected an object with name and args")
    name, arguments = given.get("name"), given.get("args") or {}
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(f"{where}.name: found {name!r}{nearest(str(name), kinds)}; one of: {', '.join(kinds)}")
    if not isinstance(arguments, dict):
        raise InputError(f"{where}.args: expected an object, found {type(arguments).__name__}")
    options: dict[str, Any] = {}
    for argument, value in arguments.items():
        if argument not in kind.dropped:
            options[kind.renamed.get(argument, argument)] = _option(argument, value, kind, f"{where}.args")
    return kind.name, options


def _option(argument: str, value: object, kind: _Kind, where: str) -> object:
    if argument not in kind.arguments:
        allowed = ", ".join(kind.arguments) or "none"
        raise InputError(f"{where}: no such argument: {argument!r}{nearest(argument, kind.arguments)} ({allowed})")
    try:
        return kind.arguments[argument](value)
    except ValueError as error:
        raise InputError(f"{where}.{argument}: found {str(value)[:80]!r}; expected {error}") from None
