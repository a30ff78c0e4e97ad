"""The search space of a study file: ``name: {type: int|float|categorical, ...}`` or ``name: constant``.

``when: {other: [values]}`` makes a parameter conditional. Choices that are a mapping open parameters::

    booster:
      type: categorical
      choices:
        gblinear: {}
        dart: {rate_drop: {type: float, low: 0, high: 0.5}}

Where a study has several templates, what ``model`` opens belongs to that template: its names begin with the model's.

A list under ``points`` is no parameter: it has points that are known to be good.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.core.values import DEFAULT_SECTION, MODEL, Value, as_text, full_name, name_in_model, resolve_name
from clearml_hpo.search.space import (
    Categorical,
    Condition,
    Constant,
    Float,
    Int,
    OpenSpace,
    Parameter,
    SearchSpace,
    at_random,
    faults_of_conditions,
)
from clearml_hpo.search.space.expressions import Expression, parse_expression
from clearml_hpo.study_file.source_lines import KeyPath, SourceLines, dotted, line_of

_DRAWS = 1_000
POINTS = "points"
"""The key of a space's known-good points; only a list is meant, anything else is a parameter of this name."""

_RANGE_KEYS = ("type", "low", "high", "log", "step", "when")
_KEYS: dict[str, tuple[str, ...]] = {
    "int": _RANGE_KEYS,
    "float": _RANGE_KEYS,
    "categorical": ("type", "choices", "when"),
    "constant": ("type", "value", "when"),
}
PARAMETER_KEYS = frozenset(key for keys in _KEYS.values() for key in keys)
_AS_TEXT = 'a list is written as text, which the script or the SDK reads: "{}"'
_FOREIGN = (
    ({"parameterType", "feasibleSpace"}, "Katib", "{type: float, low: 0.1, high: 0.9}"),
    ({"min", "max", "distribution"}, "W&B", "{type: float, low: 0.1, high: 0.9}"),
    ({"values"}, "W&B", "{type: categorical, choices: [a, b]}"),
    ({"_type", "_value"}, "NNI", "{type: float, low: 0.1, high: 0.9}"),
)
_PLAIN = (int, float, str, bool, type(None))
"""Types of a value that a parameter may have."""
_REQUIRED = {"int": ("low", "high"), "float": ("low", "high"), "categorical": ("choices",), "constant": ()}


def use_full_names(data: dict[Any, Any], lines: SourceLines) -> None:
    """Writes the search space in ``data``, and its lines, out: a flat mapping by full names; raises InputError.

    Choices that open parameters become a list, and those parameters their own, with a ``when``. Points that stand in a
    choice name it.
    """
    given = data.get("search_space")
    if not isinstance(given, dict):
        return
    opening = _Opening(lines, _models_of(data))
    opened = opening.open(given)
    _move_marks(lines, opened, opening.points)
    data["search_space"] = {name: _written(entry, opened) for name, entry in opened.items()}
    if opening.points:
        data["search_space"][POINTS] = [point for _, point in opening.points]


def _move_marks(lines: SourceLines, opened: Mapping[str, _Opened], points: Sequence[tuple[KeyPath, Any]]) -> None:
    """The lines of the space become those of the space written out."""
    moved: SourceLines = {}
    for index, (at, _) in enumerate(points):
        moved.update({("search_space", POINTS, index, *p[len(at) :]): lines[p] for p in lines if p[: len(at)] == at})
    for name, entry in opened.items():
        for path in (path for path in lines if path[: len(entry.path)] == entry.path):
            moved.setdefault(_moved(("search_space", name, *path[len(entry.path) :]), entry, opened), lines[path])
    for path in [path for path in lines if path[0:1] == ("search_space",) and len(path) > 1]:
        del lines[path]
    lines.update(moved)


@dataclass(frozen=True)
class _Opened:
    """A parameter as it was written: where, of which template, and under which choices of which other parameter."""

    definition: Any
    path: KeyPath
    model: str = ""
    parent: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def opens(self) -> Mapping[str, Any] | None:
        """Its choices, if each has parameters of its own."""
        choices = self.definition.get("choices") if isinstance(self.definition, dict) else None
        return choices if isinstance(choices, dict) else None

    @property
    def place(self) -> dict[str, Any]:
        """The condition that lies in where it was written: a choice of another parameter, a template."""
        of_parent = {} if self.parent is None else {self.parent: list(self.choices)}
        return {**of_parent, MODEL: [self.model]} if self.model else of_parent


def _models_of(data: Mapping[Any, Any]) -> Collection[str]:
    """The names of the templates, where there are several."""
    template = data.get("template")
    models = template.get("models") if isinstance(template, dict) else None
    return models if isinstance(models, dict) else ()


class _Opening:
    """Collects parameters, and those that their choices open.

    Attributes:
        points: where each known-good point was written, and the point, with the choices that it was written under.
    """

    def __init__(self, lines: SourceLines, models: Collection[str]) -> None:
        self._lines = lines
        self._models = models
        self._opened: dict[str, _Opened] = {}
        self.points: list[tuple[KeyPath, Any]] = []

    def open(self, given: Mapping[str, Any]) -> Mapping[str, _Opened]:
        """The parameters by full name."""
        self._open(given, ("search_space",), "", {})
        return self._opened

    def _open(self, given: Mapping[str, Any], path: KeyPath, model: str, chosen: Mapping[str, str]) -> None:
        parent, choice = [*chosen.items()][-1] if chosen else (None, "")
        for short, definition in given.items():
            if short == POINTS and isinstance(definition, list):
                self.points += [
                    ((*path, POINTS, index), {**chosen, **point} if isinstance(point, dict) else point)
                    for index, point in enumerate(definition)
                ]
                continue
            name, owner = self._name(short, model)
            at = (*path, short)
            entry = _Opened(definition, at, owner, parent, (choice,) if parent else ())
            if self._is_known(name, entry):
                continue
            self._opened[name] = entry
            for value, inner in (entry.opens or {}).items():
                of = value if name == MODEL and value in self._models else owner
                self._open_choice(inner, (*at, "choices", value), of, {**chosen, name: value})

    def _open_choice(self, inner: Any, path: KeyPath, model: str, chosen: Mapping[str, str]) -> None:
        if not isinstance(inner, (dict, type(None))):
            raise _refusal(self._lines, path, f"expected parameters, or {{}} for none; found {inner!r}")
        self._open(inner or {}, path, model, chosen)

    def _name(self, short: str, model: str) -> tuple[str, str]:
        """The full name, and the model that it belongs to, if it belongs to one."""
        if model:
            return name_in_model(model, short), model
        name = full_name(short)
        owner = name.partition("/")[0]
        return name, owner if owner in self._models else ""

    def _is_known(self, name: str, entry: _Opened) -> bool:
        """Whether the parameter is there under another choice already; raises InputError if it is there otherwise."""
        known = self._opened.get(name)
        if known is None:
            return False
        (choice,) = entry.choices or ("",)
        if entry.parent is not None and known.parent == entry.parent and choice not in known.choices:
            if known.definition != entry.definition:
                text = f"not as under {known.choices[0]}; {_one_range_for_all(name, known, entry)}"
                raise _refusal(self._lines, entry.path, text)
            self._opened[name] = replace(known, choices=(*known.choices, choice))
            return True
        bare = name.removeprefix(f"{DEFAULT_SECTION}/")
        is_beside = known.path[:-1] == entry.path[:-1]
        short_for = f": {bare} is short for {name}" if is_beside else f"; {line_of(self._lines, known.path)} too"
        raise _refusal(self._lines, entry.path, f"given twice{short_for}")


def _one_range_for_all(name: str, *entries: _Opened) -> str:
    """How to write a parameter that has another range under each choice of its parent."""
    said, own = "a parameter has one range wherever it is active", _in_expression(name)
    parent = _in_expression(str(entries[0].parent))
    bounds = [(entry.choices[0], _bound(own, entry.definition)) for entry in entries]
    if not all(bound for _, bound in bounds):
        return said
    listed = ", ".join(f'"{parent} != {choice!r} or {bound}"' for choice, bound in bounds)
    return (
        f"{said}: write {own.strip('{}')} beside {parent.strip('{}')}, with a range that covers both, "
        f"and parameter_constraints: [{listed}]"
    )


def _in_expression(name: str) -> str:
    """A parameter as a constraint names it."""
    bare = name.removeprefix(f"{DEFAULT_SECTION}/")
    return bare if bare.isidentifier() else f"{{{name}}}"


def _bound(name: str, definition: Any) -> str:
    """What a constraint says of a parameter that has this definition; empty if the definition is none."""
    if not isinstance(definition, dict):
        return f"{name} == {definition!r}"
    if "choices" in definition:
        return f"{name} in {list(definition['choices'])!r}"
    low, high = definition.get("low"), definition.get("high")
    return "" if low is None or high is None else f"{low} <= {name} <= {high}"


def _refusal(lines: SourceLines, path: KeyPath, text: str) -> InputError:
    return InputError(f"{line_of(lines, path)}: {dotted(path)}: {text}")


def _written(entry: _Opened, opened: Mapping[str, _Opened]) -> Any:
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
        condition = {_parent(parent, entry, opened): values for parent, values in condition.items()}
    if entry.place and isinstance(condition, (dict, type(None))):
        condition = {**(condition or {}), **entry.place}
    if condition is not None:
        written["when"] = condition
    return written


def _parent(name: str, entry: _Opened, opened: Mapping[str, _Opened]) -> str:
    """The full name of a parameter that the condition of ``entry`` names: one of its own template, if that has it."""
    own = name_in_model(entry.model, name) if entry.model else ""
    return own if own in opened else resolve_name(name, opened) or full_name(name)


def _moved(path: KeyPath, entry: _Opened, opened: Mapping[str, _Opened]) -> KeyPath:
    """The place that ``path`` of a parameter has once the space is written out."""
    if path[2:3] == ("when",) and len(path) > 3:
        return (*path[:3], _parent(str(path[3]), entry, opened), *path[4:])
    if path[2:3] == ("choices",) and len(path) > 3 and entry.opens is not None:
        return (*path[:3], list(entry.opens).index(str(path[3])), *path[4:])
    return path


def read_search_space(
    given: Mapping[str, Any],
    constraints: Sequence[str],
    lines: SourceLines,
    faults: list[str],
    models: Collection[str] = (),
    *,
    is_open: bool = False,
) -> SearchSpace:
    """The space that ``given``, written out, describes; what is wrong with it is added to ``faults``, a line each.

    Args:
        constraints: expressions that hold between parameters.
        models: names of the templates, where there are several.
        is_open: trials suggest parameters themselves; ``given`` are those that are known.
    """
    before = len(faults)

    def note(path: KeyPath, text: str) -> None:
        faults.append(f"{line_of(lines, path)}: {dotted(path)}: {text}")

    for index, point in enumerate(given.get(POINTS) or ()):
        if not isinstance(point, dict):
            note(("search_space", POINTS, index), f"expected names and values, found {point!r}")
    # Each parameter by itself.
    given = {name: definition for name, definition in given.items() if name != POINTS}
    parameters, conditions = _read_parameters(given, note)
    if len(faults) > before:
        return SearchSpace()
    if is_open:
        for name in conditions:
            note(("search_space", name), "a study with define_by_run has no conditions: its script decides")
        for key in filter(None, ["parameter_constraints" if constraints else "", "template.models" if models else ""]):
            note((key.partition(".")[0],), f"a study with define_by_run has no {key}")
        return OpenSpace(parameters)
    # All of them together.
    for name, text in _faults_of_models(parameters, models):
        note(("search_space", name) if name in given else ("search_space",), text)
    if len(faults) > before:
        return SearchSpace()
    for name, parent, text in faults_of_conditions(parameters, conditions):
        note(("search_space", name, "when", parent), text)
    if all(isinstance(parameter, Constant) for parameter in parameters.values()):
        note(("search_space",), "nothing varies; give at least one range")
    expressions = [_expression(text, index, parameters, note) for index, text in enumerate(constraints)]
    if len(faults) > before:
        return SearchSpace()
    space = SearchSpace(parameters, conditions, tuple(e for e in expressions if e is not None), models=tuple(models))
    _try(space, note)
    return space


def _read_parameters(
    given: Mapping[str, Any], note: Callable[[KeyPath, str], None]
) -> tuple[dict[str, Parameter], dict[str, Condition]]:
    parameters: dict[str, Parameter] = {}
    conditions: dict[str, Condition] = {}
    for name, definition in given.items():
        try:
            parameters[name] = _parameter(name, definition)
            if condition := _condition(definition):
                conditions[name] = condition
        except _FieldError as error:
            note(("search_space", name, *error.field), str(error))
    return parameters, conditions


def _faults_of_models(parameters: Mapping[str, Parameter], models: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the parameter ``model``, and with the parameters of one model alone."""
    if not models:
        return
    model, listed = parameters.get(MODEL), ", ".join(models)
    if not isinstance(model, (Categorical, Constant)):
        yield MODEL, f"with template.models, model is a categorical whose choices are the templates: {listed}"
        return
    values = [model.value] if isinstance(model, Constant) else model.choices
    for value in values:
        if value not in models:
            yield MODEL, f"template.models has no {value!r}{nearest(as_text(value), models)}; there are: {listed}"
    if isinstance(model, Categorical):
        for name in (name for name in models if name not in values):
            yield MODEL, f"no choice is {name!r}, which template.models has"
    yield from _given_twice(parameters, models)


def _given_twice(parameters: Collection[str], models: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is there for all templates, and for one of them too."""
    for name in parameters:
        owner, _, rest = name.partition("/")
        if owner in models and full_name(rest) in parameters:
            yield name, f"given twice: {full_name(rest)} is for all templates"


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
        if not all(isinstance(value, _PLAIN) for value in values):
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
        point = space.build(at_random(rng))
        errors = _errors_at(space.hyperparameters(point), space.constraints)
        for index in sorted(errors.keys() - broken):
            note(("parameter_constraints", index), errors[index])
        broken |= errors.keys()
        feasible = feasible or space.allows(point)
    if not feasible and not broken and not any(True for _ in space.points(_DRAWS)):
        note(("parameter_constraints",), f"none of {_DRAWS} points drawn at random keeps them")


def _errors_at(values: Mapping[str, Any], constraints: Sequence[Expression]) -> dict[int, str]:
    """Which constraints cannot be evaluated at these values, and why."""
    errors = {}
    for index, constraint in enumerate(constraints):
        if constraint.names <= values.keys():
            try:
                constraint.holds(values)
            except TypeError as error:
                shown = ", ".join(f"{name} = {values[name]!r}" for name in sorted(constraint.names))
                errors[index] = f"{constraint}: {error} (at {shown})"
    return errors


class _FieldError(ValueError):
    def __init__(self, message: str, *field: str) -> None:
        super().__init__(message)
        self.field = field


def _without_type(name: str, definition: Mapping[str, Any]) -> str:
    """What is meant by keys that are not ours: those of another tool, or names one level deeper."""
    for keys, tool, ours in _FOREIGN:
        if definition.keys() & keys:
            file = "; a whole sweep: `clearml-hpo convert FILE`" if tool == "W&B" else ""
            return f"; {', '.join(map(str, definition))}: keys of {tool}; here it is {ours}{file}"
    inner = next((key for key, value in definition.items() if isinstance(value, (dict, list))), None)
    if inner is None or inner in PARAMETER_KEYS:
        return ""
    return f"; a nested name is written with slashes: {name}/{inner}"


def _parameter(name: str, definition: Any) -> Parameter:
    """A range from its keys, or a constant from a plain value."""
    if isinstance(definition, _PLAIN):
        return Constant(definition)
    if not isinstance(definition, dict):
        raise _FieldError(
            f"expected a value, or keys such as {{type: float, low: 0, high: 1}}; found {definition!r}"
            f"{_hint_for_list(definition)}"
        )
    kind = definition.get("type")
    if kind is None:
        raise _FieldError(f"type is missing; one of: {', '.join(_KEYS)}{_without_type(name, definition)}")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise _FieldError(f"type is {kind!r}{nearest(str(kind), _KEYS)}; one of: {', '.join(_KEYS)}")
    _check_keys(kind, definition)
    try:
        return _BUILD[kind](definition)
    except _FieldError:
        raise
    except ValueError as error:
        raise _FieldError(str(error)) from None


def _check_keys(kind: str, definition: Mapping[str, Any]) -> None:
    for key in definition:
        if key not in _KEYS[kind]:
            raise _FieldError(f"unknown key{nearest(str(key), _KEYS[kind])}; allowed: {', '.join(_KEYS[kind])}", key)
    for key in _REQUIRED[kind]:
        if definition.get(key) is None:
            raise _FieldError(f"{key} is missing")


def _hint_for_list(given: Any) -> str:
    return f"; {_AS_TEXT.format(given)}" if isinstance(given, list) else ""


def _constant(definition: Mapping[str, Any]) -> Constant:
    value = definition.get("value")
    if "value" not in definition or not isinstance(value, _PLAIN):
        raise _FieldError(f"expected text, a number, true, false or null, found {value!r}", "value")
    return Constant(value)


def _categorical(definition: Mapping[str, Any]) -> Categorical:
    choices = definition["choices"]
    if not isinstance(choices, list):
        raise _FieldError(f"expected a list, found {choices!r}", "choices")
    for choice in choices:
        if not isinstance(choice, _PLAIN):
            hint = _hint_for_list(choice)
            raise _FieldError(f"a choice is text, a number, true, false or null; found {choice!r}{hint}", "choices")
    booleans = [choice for choice in choices if isinstance(choice, bool)]
    if len(booleans) > len(set(booleans)):
        raise _FieldError("YAML reads yes, no, on and off as true and false: put texts in quotes", "choices")
    return Categorical(tuple(choices))


def _int(definition: Mapping[str, Any]) -> Int:
    # The checker cannot see that whole numbers are ints.
    return Int(**_numbers(definition, whole=True), log=_log(definition))  # type: ignore[arg-type]


def _float(definition: Mapping[str, Any]) -> Float:
    return Float(**_numbers(definition, whole=False), log=_log(definition))


_BUILD: Mapping[str, Callable[[Mapping[str, Any]], Parameter]] = {
    "int": _int,
    "float": _float,
    "categorical": _categorical,
    "constant": _constant,
}


def _log(definition: Mapping[str, Any]) -> bool:
    log = definition.get("log")
    if log is None:
        return False
    if not isinstance(log, bool):
        raise _FieldError(f"expected true or false, found {log!r}", "log")
    return log


def _numbers(definition: Mapping[str, Any], *, whole: bool) -> dict[str, int | float]:
    given = {key: definition.get(key) for key in ("low", "high", "step")}
    return {key: _number(value, key, whole=whole) for key, value in given.items() if value is not None}


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
