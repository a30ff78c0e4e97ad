"""The search space of a study file: ``name: {type: int|float|categorical, ...}`` or ``name: constant``.

``when: {other: [values]}`` makes a parameter conditional. Choices that are a mapping open parameters::

    booster:
      type: categorical
      choices:
        gblinear: {}
        dart: {rate_drop: {type: float, low: 0, high: 0.5}}
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.errors import InputError, nearest
from clearml_hpo.search_space import (
    DEFAULT_SECTION,
    Categorical,
    Condition,
    Constant,
    Float,
    Int,
    Parameter,
    SearchSpace,
    Value,
    faults_of_conditions,
    full_name,
    resolve_name,
)
from clearml_hpo.search_space.expressions import Expression, parse_expression
from clearml_hpo.spec.marks import KeyPath, Marks, dotted, mark_of

_DRAWS = 1_000

_RANGE_KEYS = ("type", "low", "high", "log", "step", "when")
_KEYS: dict[str, tuple[str, ...]] = {
    "int": _RANGE_KEYS,
    "float": _RANGE_KEYS,
    "categorical": ("type", "choices", "when"),
    "constant": ("type", "value", "when"),
}
PARAMETER_KEYS = frozenset(key for keys in _KEYS.values() for key in keys)
_REQUIRED = {"int": ("low", "high"), "float": ("low", "high"), "categorical": ("choices",), "constant": ()}


def use_full_names(data: dict[Any, Any], marks: Marks) -> None:
    """Writes the search space in ``data``, and its marks, out: a flat mapping by full names; raises InputError.

    Choices that open parameters become a list, and those parameters their own, with a ``when``.
    """
    given = data.get("search_space")
    if not isinstance(given, dict):
        return
    opened: dict[str, _Opened] = {}
    _open(given, ("search_space",), None, opened, marks)
    written = {name: _written(name, entry, opened) for name, entry in opened.items()}
    moved: Marks = {}
    for name, entry in opened.items():
        for path in (path for path in marks if path[: len(entry.path)] == entry.path):
            moved.setdefault(_moved(("search_space", name, *path[len(entry.path) :]), entry, opened), marks[path])
    for path in [path for path in marks if path[0:1] == ("search_space",) and len(path) > 1]:
        del marks[path]
    marks.update(moved)
    data["search_space"] = written


@dataclass(frozen=True)
class _Opened:
    """A parameter as it was written: where, and under which choices of which other parameter."""

    definition: Any
    path: KeyPath
    parent: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def opens(self) -> Mapping[str, Any] | None:
        """Its choices, if each has parameters of its own."""
        choices = self.definition.get("choices") if isinstance(self.definition, dict) else None
        return choices if isinstance(choices, dict) else None


def _open(
    given: Mapping[str, Any], path: KeyPath, under: tuple[str, str] | None, opened: dict[str, _Opened], marks: Marks
) -> None:
    """Adds the parameters of ``given``, and those that their choices open, to ``opened``."""
    parent, choice = under or (None, "")
    for short, definition in given.items():
        name, at = full_name(short), (*path, short)
        entry = _Opened(definition, at, parent, (choice,) if parent else ())
        known = opened.get(name)
        if known is not None and parent is not None and known.parent == parent and choice not in known.choices:
            if known.definition != definition:
                first = known.choices[0]
                raise _refusal(marks, at, f"not as under {first}; a parameter has one range wherever it is active")
            opened[name] = replace(known, choices=(*known.choices, choice))
            continue
        if known is not None:
            bare = name.removeprefix(f"{DEFAULT_SECTION}/")
            short_for = (
                f": {bare} is short for {name}" if known.path[:-1] == path else f"; {mark_of(marks, known.path)} too"
            )
            raise _refusal(marks, at, f"given twice{short_for}")
        opened[name] = entry
        for value, inner in (entry.opens or {}).items():
            if not isinstance(inner, (dict, type(None))):
                raise _refusal(
                    marks, (*at, "choices", value), f"expected parameters, or {{}} for none; found {inner!r}"
                )
            _open(inner or {}, (*at, "choices", value), (name, value), opened, marks)


def _refusal(marks: Marks, path: KeyPath, text: str) -> InputError:
    return InputError(f"{mark_of(marks, path)}: {dotted(path)}: {text}")


def _written(name: str, entry: _Opened, opened: Mapping[str, _Opened]) -> Any:
    """The definition of a parameter with its choices as a list and its whole condition, by full names."""
    definition = entry.definition
    if not isinstance(definition, dict):
        if entry.parent is None:
            return definition
        definition = {"type": "constant", "value": definition}
    written = dict(definition)
    if entry.opens is not None:
        written["choices"] = list(entry.opens)
    condition: Any = written.get("when")
    if isinstance(condition, dict):
        condition = {resolve_name(parent, opened) or full_name(parent): values for parent, values in condition.items()}
    if entry.parent is not None and isinstance(condition, (dict, type(None))):
        condition = {**(condition or {}), entry.parent: list(entry.choices)}
    if condition is not None:
        written["when"] = condition
    return written


def _moved(path: KeyPath, entry: _Opened, opened: Mapping[str, _Opened]) -> KeyPath:
    """The place that ``path`` of a parameter has once the space is written out."""
    if path[2:3] == ("when",) and len(path) > 3:
        parent = str(path[3])
        return (*path[:3], resolve_name(parent, opened) or full_name(parent), *path[4:])
    if path[2:3] == ("choices",) and len(path) > 3 and entry.opens is not None:
        return (*path[:3], list(entry.opens).index(str(path[3])), *path[4:])
    return path


def read_search_space(
    given: Mapping[str, Any], constraints: Sequence[str], marks: Marks, faults: list[str]
) -> SearchSpace:
    """The space that ``given``, written out, describes; what is wrong with it is added to ``faults``, a line each.

    Args:
        constraints: expressions that hold between parameters.
    """
    before = len(faults)

    def note(path: KeyPath, text: str) -> None:
        faults.append(f"{mark_of(marks, path)}: {dotted(path)}: {text}")

    parameters: dict[str, Parameter] = {}
    conditions: dict[str, Condition] = {}
    for name, definition in given.items():
        path: KeyPath = ("search_space", name)
        try:
            parameters[name] = _parameter(definition)
            condition = _condition(definition)
        except _FieldError as error:
            note((*path, *error.field), str(error))
        else:
            conditions.update({name: condition} if condition else {})
    if len(faults) > before:
        return SearchSpace()
    for name, parent, text in faults_of_conditions(parameters, conditions):
        note(("search_space", name, "when", parent), text)
    if not any(not isinstance(p, Constant) for p in parameters.values()):
        note(("search_space",), "nothing varies; give at least one range")
    expressions = [_expression(text, index, parameters, note) for index, text in enumerate(constraints)]
    if len(faults) > before:
        return SearchSpace()
    space = SearchSpace(parameters, conditions, tuple(e for e in expressions if e is not None))
    _try(space, note)
    return space


def _condition(definition: Any) -> Condition:
    """``when: {name: value or values}``."""
    given = definition.get("when") if isinstance(definition, dict) else None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _FieldError(f"expected names and values, such as {{booster: [gbtree, dart]}}; found {given!r}", "when")
    condition: dict[str, tuple[Value, ...]] = {}
    for parent, found in given.items():
        values = found if isinstance(found, list) else [found]
        if not all(isinstance(value, (int, float, str, bool, type(None))) for value in values):
            raise _FieldError(f"expected a value or a list of values, found {found!r}", "when", parent)
        condition[parent] = tuple(values)
    return condition


def _expression(
    text: str, index: int, parameters: Mapping[str, Parameter], note: Callable[[KeyPath, str], None]
) -> Expression | None:
    try:
        return parse_expression(text, parameters, lambda name: resolve_name(name, parameters))
    except ValueError as error:
        note(("parameter_constraints", index), str(error))
        return None


def _try(space: SearchSpace, note: Callable[[KeyPath, str], None]) -> None:
    """Draws points: a constraint that cannot be evaluated, or constraints that no point keeps, are faults."""
    rng = random.Random(0)
    feasible = not space.constraints
    broken: set[int] = set()
    for _ in range(_DRAWS if space.constraints else 0):
        values = space.hyperparameters(space.draw(rng))
        kept = True
        for index, constraint in enumerate(space.constraints):
            try:
                kept &= not constraint.names <= values.keys() or constraint.holds(values)
            except TypeError as error:
                if index not in broken:
                    shown = ", ".join(f"{name} = {values[name]!r}" for name in sorted(constraint.names))
                    note(("parameter_constraints", index), f"{constraint}: {error} (at {shown})")
                broken.add(index)
        feasible |= kept
    if not feasible and not broken and not any(True for _ in space.points(_DRAWS)):
        note(("parameter_constraints",), f"none of {_DRAWS} points drawn at random keeps them")


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
    if kind == "constant":
        value = definition.get("value")
        if "value" not in definition or not isinstance(value, (int, float, str, bool, type(None))):
            raise _FieldError(f"expected text, a number, true, false or null, found {value!r}", "value")
        return Constant(value)
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
