"""The search space of a study file: ``name: {type: int|float|categorical, ...}`` or ``name: constant``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from clearml_hpo.errors import InputError, nearest
from clearml_hpo.search_space import (
    DEFAULT_SECTION,
    Categorical,
    Constant,
    Float,
    Int,
    Parameter,
    SearchSpace,
    full_name,
)
from clearml_hpo.spec.marks import KeyPath, Marks, dotted, mark_of

_RANGE_KEYS = ("type", "low", "high", "log", "step")
_KEYS: dict[str, tuple[str, ...]] = {
    "int": _RANGE_KEYS,
    "float": _RANGE_KEYS,
    "categorical": ("type", "choices"),
}
PARAMETER_KEYS = frozenset(key for keys in _KEYS.values() for key in keys)
_REQUIRED = {"int": ("low", "high"), "float": ("low", "high"), "categorical": ("choices",)}


def use_full_names(data: dict[Any, Any], marks: Marks) -> None:
    """Gives the search space in ``data``, and its marks, the full names of its parameters; raises InputError."""
    given = data.get("search_space")
    if not isinstance(given, dict):
        return
    space: dict[str, Any] = {}
    for name, definition in given.items():
        full = full_name(name)
        if full in space:
            where = mark_of(marks, ("search_space", name))
            short = full.removeprefix(f"{DEFAULT_SECTION}/")
            raise InputError(f"{where}: search_space.{name}: given twice: {short} is short for {full}")
        space[full] = definition
    data["search_space"] = space
    for path in [path for path in marks if path[0:1] == ("search_space",) and len(path) > 1]:
        full_path = ("search_space", full_name(str(path[1])), *path[2:])
        marks[full_path] = marks.pop(path)


def read_search_space(given: Mapping[str, Any], marks: Marks, faults: list[str]) -> SearchSpace:
    """The space that ``given``, by full names, describes; what is wrong with it is added to ``faults``, a line each."""
    parameters: dict[str, Parameter] = {}
    for name, definition in given.items():
        path: KeyPath = ("search_space", name)
        try:
            parameters[name] = _parameter(definition)
        except _FieldError as error:
            faults.append(f"{mark_of(marks, (*path, *error.field))}: {dotted((*path, *error.field))}: {error}")
    if not faults and not any(not isinstance(p, Constant) for p in parameters.values()):
        faults.append(f"{mark_of(marks, ('search_space',))}: search_space: nothing varies; give at least one range")
    return SearchSpace(parameters)


class _FieldError(ValueError):
    def __init__(self, message: str, *field: str) -> None:
        super().__init__(message)
        self.field = field


def _parameter(definition: Any) -> Parameter:
    """A range from its keys, or a constant from a plain value."""
    if not isinstance(definition, dict):
        if isinstance(definition, (int, float, str, bool, type(None))):
            return Constant(definition)
        raise _FieldError(f"expected a value, or keys such as {{type: float, low: 0, high: 1}}; found {definition!r}")
    kind = definition.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise _FieldError(f"type is {kind!r}{nearest(str(kind), _KEYS)}; one of: {', '.join(_KEYS)}")
    for key in definition:
        if key not in _KEYS[kind]:
            raise _FieldError(f"unknown key{nearest(str(key), _KEYS[kind])}; allowed: {', '.join(_KEYS[kind])}", key)
    for key in _REQUIRED[kind]:
        if definition.get(key) is None:
            raise _FieldError(f"{key} is missing")
    try:
        return _build_parameter(kind, definition)
    except _FieldError:
        raise
    except ValueError as error:
        raise _FieldError(str(error)) from None


def _build_parameter(kind: str, definition: Mapping[str, Any]) -> Parameter:
    if kind == "categorical":
        choices = definition["choices"]
        if not isinstance(choices, list):
            raise _FieldError(f"expected a list, found {choices!r}", "choices")
        for choice in choices:
            if not isinstance(choice, (int, float, str, bool, type(None))):
                raise _FieldError(f"a choice is text, a number, true, false or null; found {choice!r}", "choices")
        return Categorical(tuple(choices))
    log = definition.get("log")
    log = False if log is None else log
    if not isinstance(log, bool):
        raise _FieldError(f"expected true or false, found {log!r}", "log")
    whole = kind == "int"
    numbers = {
        key: _number(definition[key], key, whole=whole)
        for key in ("low", "high", "step")
        if definition.get(key) is not None
    }
    return Int(**numbers, log=log) if whole else Float(**numbers, log=log)  # type: ignore[arg-type]


def _number(given: Any, key: str, *, whole: bool) -> int | float:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise _FieldError(f"expected a number, found {given!r}", key)
    try:
        number = float(given)  # of a text too: YAML 1.1 reads 1e-3 as one
    except ValueError:
        raise _FieldError(f"expected a number, found {given!r}", key) from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _FieldError(f"expected a finite number, found {number}", key)
    if not whole:
        return number
    if not number.is_integer():
        raise _FieldError(f"expected a whole number, found {number!r}", key)
    return given if isinstance(given, int) else int(number)
