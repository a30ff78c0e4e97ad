"""ClearML's hyperparameters: ``{section: {name: {section, name, value, type}}}``, all values text.

Here they are flat, ``{"section/name": text}``. User properties are the section ``properties``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from clearml_hpo.core.values import Params, Value, text_of
from clearml_hpo.search.space import Categorical, Constant, Int, Parameter

Nested: TypeAlias = dict[str, dict[str, dict[str, Any]]]

USER_PROPERTIES = "properties"
CONFIG_SECTION = "config:"
"""What the sections of configuration objects begin with."""
HYDRA = "Hydra"
"""The section of the overrides that Hydra reads."""
_ARGUMENTS = "Args"
_ENUM = "Values:\n"  # with it begins how the SDK describes an Enum
_BRACKETS = {"list": ("[",), "tuple": ("(", "["), "dict": ("{",)}


def flatten(nested: Mapping[str, Mapping[str, Mapping[str, Any]]], field: str = "value") -> dict[str, str]:
    """``{"section/name": text}`` without the user properties; ``field`` may be ``type`` instead."""
    return {
        f"{section}/{name}": str(entry.get(field) or "")
        for section, entries in nested.items()
        if section != USER_PROPERTIES
        for name, entry in entries.items()
    }


def user_properties(nested: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """The user properties as text."""
    return {name: str(entry.get("value") or "") for name, entry in nested.get(USER_PROPERTIES, {}).items()}


def as_number(text: str | None) -> float | None:
    """The number in a user property, which a user may have edited; None if it is missing or none."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def with_values(nested: Mapping[str, Mapping[str, Mapping[str, Any]]], params: Params) -> Nested:
    """A copy of ``nested`` in which ``params`` (``section/name``) have new values.

    Types stay as they are; an entry that has none, such as one whose default is None, is given the value's: the SDK
    casts by it.
    """
    copy: Nested = {section: {n: dict(e) for n, e in entries.items()} for section, entries in nested.items()}
    for full_name, value in params.items():
        section, _, name = full_name.partition("/")
        entry = copy.setdefault(section, {}).setdefault(name, {"section": section, "name": name})
        entry["value"] = text_of(full_name, value)
        if not entry.get("type") and value is not None:
            entry["type"] = type(value).__name__
    return copy


def arrives_as(value: Value, entry: Mapping[str, Any]) -> Value:
    """What the training script gets for ``value`` where the template holds ``entry``, as clearml 2.1 casts it.

    Raises:
        ValueError: the script would keep its default, or end at once.
    """
    kind = entry.get("type") or ""
    section, own = str(entry.get("section") or ""), entry.get("value") or ""
    if section == HYDRA or section.startswith(CONFIG_SECTION):
        return value  # its text is read without regard to the type
    is_argument = section == _ARGUMENTS
    if kind == "str":
        # The parser of the script's arguments keeps a default that is None.
        return None if value is None and is_argument and not own else text_of("", value)
    if is_argument and kind in ("int", "float") and _is_list(value) and _is_list(own or "[]"):
        return value  # of nargs, the type is that of each item
    if not is_argument:
        _check_composed(value, kind, str(entry.get("description") or ""))
    if value is None:
        return _none_arrives_as(kind, entry)
    return _CASTS.get(kind, _unchanged)(value)


def _unchanged(value: Value) -> Value:
    return value


def _without_type(value: Value) -> Value:
    return None if value == "" else value


def _as_bool(value: Value) -> Value:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _as_int(value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _as_float(value: Value) -> Value:
    if value is None or isinstance(value, (bool, str)):
        raise ValueError(f"{value!r} is no number")
    return float(value)


_CASTS: Mapping[str, Callable[[Value], Value]] = {
    "": _without_type,
    "bool": _as_bool,
    "int": _as_int,
    "float": _as_float,
}


def _check_composed(value: Value, kind: str, description: str) -> None:
    """Raises ValueError for what is no member of an Enum, list, tuple or dictionary as the SDK reads them."""
    if kind and description.startswith(_ENUM):
        members = description.removeprefix(_ENUM).split(",\n")
        if value not in members:
            raise ValueError(f"{value!r} is none of its members: {', '.join(members)}")
    outer = kind.partition("/")[0]
    if outer in _BRACKETS and not (isinstance(value, str) and value.startswith(_BRACKETS[outer])):
        raise ValueError(f"{value!r} is no text of a {outer}, which begins with {' or '.join(_BRACKETS[outer])}")


def _is_list(text: object) -> bool:
    return isinstance(text, str) and text.startswith("[") and text.endswith("]")


def misfit(parameter: Parameter, entry: Mapping[str, Any]) -> str:
    """What is wrong with varying the hyperparameter that the template holds as ``entry``; empty if nothing is.

    Wrong is what would not arrive in the script as it left, see :func:`arrives_as`.
    """
    kind = f"the template's value is {_with_article(str(entry.get('type') or ''))}"
    for value in _samples(parameter):
        try:
            arrived = arrives_as(value, entry)
        except ValueError as error:
            return f"{kind}; found {parameter}: {error}"
        if arrived != value or isinstance(arrived, bool) != isinstance(value, bool):
            return f"{kind}; found {parameter}: {value!r} would arrive as {arrived!r}"
    return ""


def _samples(parameter: Parameter) -> Sequence[Value]:
    """Values of all the types that a parameter has."""
    if isinstance(parameter, Categorical):
        return parameter.choices
    if isinstance(parameter, Constant):
        return (parameter.value,)
    return (parameter.low,) if isinstance(parameter, Int) else (0.5,)


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind[:1] in ("i", "a") else f"a {kind}"


def _none_arrives_as(kind: str, entry: Mapping[str, Any]) -> Value:
    if kind == "bool":
        return False
    if entry.get("section") == _ARGUMENTS and kind and entry.get("value"):
        raise ValueError("the parser of the script's arguments takes no empty text")
    return None


def with_user_properties(
    nested: Mapping[str, Mapping[str, Mapping[str, Any]]], properties: Mapping[str, Any]
) -> Nested:
    """A copy of ``nested`` whose user properties are ``properties`` and no others."""
    copy: Nested = {s: {n: dict(e) for n, e in es.items()} for s, es in nested.items() if s != USER_PROPERTIES}
    copy[USER_PROPERTIES] = {
        name: {"section": USER_PROPERTIES, "name": name, "value": str(value)} for name, value in properties.items()
    }
    return copy
