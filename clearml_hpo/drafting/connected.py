"""What ``task.connect`` and ``task.connect_configuration`` are given."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from clearml_hpo.backend.hyperparameters import CONFIG_SECTION
from clearml_hpo.core.values import DEFAULT_SECTION
from clearml_hpo.drafting.arguments import ARGS, options
from clearml_hpo.drafting.found import Found, flat, kind_of
from clearml_hpo.drafting.signatures import fields, is_record
from clearml_hpo.drafting.source import Member, Program, Source, Unreadable, keyword

_NO_TASK = ("sqlite3", "psycopg", "psycopg2", "pymysql", "socket", "duckdb", "signal", "pika", "snowflake")
_PARSED = ("parse_args", "parse_known_args")


def connected(program: Program) -> Iterator[Found | str]:
    """Hyperparameters of dictionaries, classes and objects that the script connects."""
    for source, call in _calls(program, "connect"):
        mutable, section = keyword(call, "mutable", 0), keyword(call, "name", 1)
        if mutable is None:
            continue
        name = str(program.entry(source, section) if section is not None else DEFAULT_SECTION)
        found = _fields_of(program, source, mutable, f"{name}/")
        if found is None:
            yield f"{source.path.name}:{call.lineno}: what task.connect({ast.unparse(mutable)}) holds"
        else:
            yield from found


def configurations(program: Program) -> Iterator[Found | str]:
    """Values inside of configuration objects, ``config:<object>/<key>``."""
    for source, call in _calls(program, "connect_configuration"):
        given, object_ = keyword(call, "configuration", 0), keyword(call, "name", 1)
        name = program.entry(source, object_) if object_ is not None else DEFAULT_SECTION
        value = program.entry(source, given) if given is not None else None
        if isinstance(value, str):
            value = _read(program.main.path.parent / value)
        if isinstance(value, dict):
            for key, own in flat(value, ".").items():
                yield Found(f"{CONFIG_SECTION}{name}/{key}", kind_of(own), own)
        elif given is not None:
            yield f"{source.path.name}:{call.lineno}: the configuration {ast.unparse(given)}"


def _calls(program: Program, method: str) -> Iterator[tuple[Source, ast.Call]]:
    """Calls of a task's method."""
    for source in program.sources:
        for call in source.calls:
            is_method = isinstance(call.func, ast.Attribute) and call.func.attr == method
            if is_method and source.dotted(call.func).partition(".")[0] not in _NO_TASK:
                yield source, call


def _fields_of(program: Program, source: Source, node: ast.expr, prefix: str) -> list[Found] | None:
    """What is in a dictionary, class, object or namespace; None if that is known only when the script runs."""
    source, node = program.assigned(source, node)
    if (parsed := _parsed(program, source, node)) is not None:
        return [replace(found, name=f"{prefix}{found.name.removeprefix(ARGS)}") for found in parsed]
    record = program.class_(source, node)
    if record is not None:
        return [*_of_class(program, *record, prefix)]
    if isinstance(node, ast.Call):
        if record := program.class_(source, node.func):
            given = {k.arg: program.entry(source, k.value) for k in node.keywords if k.arg}
            return _of_object(program, *record, prefix, given)
        if source.dotted(node.func) in ("vars", "dataclasses.asdict") and len(node.args) == 1:
            nested = source.dotted(node.func) != "vars"
            found = _fields_of(program, source, node.args[0], prefix)
            inner = program.assigned(source, node.args[0])
            if nested and isinstance(inner[1], ast.Call) and (record := program.class_(inner[0], inner[1].func)):
                return [_slashed(one, prefix) for one in fields(program, *record, prefix)]
            return found
    try:
        value = program.value(source, node)
    except Unreadable:
        return None
    if not isinstance(value, dict):
        return None
    return [_of_value(f"{prefix}{name}", own) for name, own in flat(value, "/").items()]


def _of_value(name: str, value: Any) -> Found:
    """A hyperparameter; of a member of an Enum, the SDK keeps the name."""
    if isinstance(value, Member):
        return Found(name, "str", value.name, value.names)
    return Found(name, kind_of(value), value)


def _parsed(program: Program, source: Source, node: ast.expr) -> list[Found] | None:
    """The options of argparse, if the expression is what it has parsed."""
    if isinstance(node, ast.Call) and source.dotted(node.func) == "vars" and node.args:
        source, node = program.assigned(source, node.args[0])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PARSED:
        return [found for found in options(program) if isinstance(found, Found)]
    return None


def _of_class(program: Program, source: Source, definition: ast.ClassDef, prefix: str) -> Iterator[Found]:
    """Attributes of a class that hold plain values: those that the SDK sees."""
    for base in definition.bases[::-1]:
        if inner := program.class_(source, base):
            yield from _of_class(program, *inner, prefix)
    for node in definition.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and value is not None and not target.id.startswith("_"):
                yield from _plain(program, source, f"{prefix}{target.id}", value)


def _of_object(
    program: Program, source: Source, definition: ast.ClassDef, prefix: str, given: dict[str, Any]
) -> list[Found]:
    """What an object has itself: fields of a dataclass, and what ``__init__`` assigns; the SDK sees no others."""
    if is_record(definition):
        every = fields(program, source, definition, prefix)
        own = [replace(found, flag="") for found in every if "." not in found.name[len(prefix) :]]
    else:
        init = next((n for n in definition.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        own = (
            [found for node in ast.walk(init) for found in _set_on_self(program, source, node, prefix)] if init else []
        )
    known = {f"{prefix}{name}": value for name, value in given.items()}
    return [
        replace(found, default=known[found.name], kind=kind_of(known[found.name]) or found.kind)
        if known.get(found.name) is not None
        else found
        for found in own
    ]


def _set_on_self(program: Program, source: Source, node: ast.AST, prefix: str) -> Iterator[Found]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
                yield from _plain(program, source, f"{prefix}{target.attr}", node.value)


def _plain(program: Program, source: Source, name: str, node: ast.expr) -> Iterator[Found]:
    try:
        value = program.value(source, node)
    except Unreadable:
        return
    if not isinstance(value, Member) or value.is_plain:
        yield _of_value(name, value)


def _slashed(found: Found, prefix: str) -> Found:
    """A dictionary that is connected has slashes between its levels."""
    return replace(found, name=prefix + found.name[len(prefix) :].replace(".", "/"), flag="")


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return None
