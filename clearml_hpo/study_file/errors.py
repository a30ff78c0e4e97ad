"""Errors of study and campaign files: each in a line, with file, line, key, what was found and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from clearml_hpo.core.errors import nearest
from clearml_hpo.study_file.source_lines import KeyPath, SourceLines, dotted, line_of

_EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("string_type", "path_type"), "text"),
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values ({keys})",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "string_too_short": "{min_length} characters or more",
    "too_short": "{min_length} or more",
}


def explain(
    error: ValidationError,
    data: Mapping[Any, Any],
    lines: SourceLines,
    model: type[BaseModel],
    hint: Callable[[str, object], str] = lambda key, found: "",
) -> Iterable[str]:
    """A line for each fault in ``data`` of a ``model``; what a value may be instead, of several ways, in one.

    Args:
        hint: what is meant by a value that is refused, by the last part of its key.
    """
    expectations: dict[str, list[str]] = {}
    for fault in error.errors():
        *above, last = fault["loc"] or ("",)
        path = _written(above, data)
        is_written = fault["type"] != "missing" and _written(fault["loc"], data) != path
        path = (*path, last) if last != "" and (is_written or fault["type"] == "missing") else path
        key = dotted(path)
        where = f"{line_of(lines, path)}: {key}" if key else f"{line_of(lines, path)}"
        begin, expected = _fault(fault, path, where, model)
        begin += hint(str(last), fault["input"]) if fault["type"] == "value_error" else ""
        expectations.setdefault(begin, []).extend(expected)
    return (begin + ", or ".join(expected) for begin, expected in expectations.items())


def _fault(fault: Mapping[str, Any], path: KeyPath, where: str, model: type[BaseModel]) -> tuple[str, list[str]]:
    """What is wrong, and what is expected instead, if that is not said yet."""
    kind, found, message = fault["type"], fault["input"], fault["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        allowed = _allowed_keys(path[:-1], model)
        return f"{where}: unknown key{nearest(str(path[-1]), allowed)}; allowed: {', '.join(allowed)}", []
    if kind == "missing":
        return f"{where} is missing", []
    if kind == "literal_error":
        allowed = [text.strip("' ") for text in re.split(r", | or ", fault["ctx"]["expected"])]
        return f"{where}: found {found!r}{nearest(str(found), allowed)}; one of: {', '.join(allowed)}", []
    if kind == "value_error":
        return f"{where}: {message}", []
    known = {**fault.get("ctx", {}), "keys": ", ".join(_allowed_keys(path, model))}
    expected = _EXPECTED.get(kind, f"another value: {message}").format_map(known)
    return f"{where}: found {found!r}; expected ", [expected]


def _written(loc: Sequence[str | int], data: Any) -> KeyPath:
    """The part of ``loc`` that a user wrote: short forms lack an index, alternatives of a type are no keys."""
    path: KeyPath = ()
    node = data
    for part in loc:
        is_index = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if not (is_index or (isinstance(node, dict) and part in node)):
            continue
        node = node[part]
        path = (*path, part)
    return path


def _allowed_keys(path: KeyPath, model: type[BaseModel]) -> list[str]:
    is_name = False  # of one of several blocks, which users name as they like
    for part in path:
        if isinstance(part, int) or is_name:
            is_name = False
            continue
        named = {field.alias or name: field for name, field in model.model_fields.items()}
        annotation = named[part].annotation
        inner = _model_in(annotation)
        if inner is None:
            return []
        model, is_name = inner, get_origin(annotation) is dict
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a type holds: itself, of a list, or the one beside None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner)) is not None), None)
