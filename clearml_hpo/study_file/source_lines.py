"""YAML with the line of every key, so that an error can name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.yaml_documents import Unfit, compose


@dataclass(frozen=True)
class SourceLine:
    """Where a value was written."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


KeyPath: TypeAlias = tuple[str | int, ...]
SourceLines: TypeAlias = dict[KeyPath, SourceLine]
LineAt: TypeAlias = Callable[[int | None], SourceLine]

_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class _Loader(yaml.SafeLoader):
    """Takes ``1:30`` for text, as YAML 1.2 does, where YAML 1.1 counts to base 60 and reads 90."""


def _number(loader: _Loader, node: yaml.ScalarNode) -> object:
    if ":" in node.value:
        return node.value
    return yaml.SafeLoader.yaml_constructors[node.tag](loader, node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _number)


def read_yaml(path: Path) -> tuple[dict[Any, Any], SourceLines]:
    """The file's keys and values, and where each was written; raises InputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if path.suffix == ".py":
        raise InputError(f"{path}: a script, where a YAML file is expected; to make one of it: clearml-hpo init {path}")
    data, lines = parse_yaml(text, lambda line: SourceLine(str(path), line))
    if not isinstance(data, dict):
        raise InputError(f"{lines.get((), path)}: expected keys and values, found {kind_of(data)}")
    return data, lines


def kind_of(data: object) -> str:
    """What a text holds in place of keys and values."""
    kinds = {"NoneType": "nothing", "list": "a list", "str": "a text"}
    return kinds.get(type(data).__name__, repr(data))


def parse_yaml(text: str, mark_at: LineAt, path: KeyPath = ()) -> tuple[Any, SourceLines]:
    """The value that ``text`` holds, and the lines of all that is in it.

    Args:
        mark_at: the mark of a line, counted from 1; of None if the line is not known.
        path: the key of the value itself.

    Raises:
        InputError: it is not YAML, or too much of it, a key is given twice, or is no text.
    """
    lines: SourceLines = {}
    try:
        node = compose(text, _Loader)
        if node is not None:
            _mark_nodes(node, path, mark_at, lines)
        return yaml.load(text, Loader=_Loader), lines
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2000-13-01
        mark = getattr(error, "problem_mark", None)
        where = mark_at(mark.line + 1 if mark else None)
        what = "" if isinstance(error, Unfit) else "not YAML: "
        problem = str(getattr(error, "problem", None) or error)
        hint = "; indent with spaces: YAML has no tabs" if "'\\t'" in problem else ""
        raise InputError(f"{where}: {what}{problem}{hint}") from None


def _mark_nodes(node: yaml.Node, path: KeyPath, mark_at: LineAt, lines: SourceLines) -> None:
    lines.setdefault(path, mark_at(node.start_mark.line + 1))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            where, at = mark_at(key.start_mark.line + 1), (*path, str(key.value))
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"{where}: a key is text")
            if key.tag not in _KEY_TAGS:
                raise InputError(
                    f"{where}: {dotted(at)}: this name is no text to YAML; put it in quotes: '{key.value}'"
                )
            if key.value in seen:
                raise InputError(f"{where}: {dotted(at)}: given twice")
            seen.add(key.value)
            lines[at] = where
            _mark_nodes(value, at, mark_at, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _mark_nodes(value, (*path, index), mark_at, lines)


def line_of(lines: SourceLines, path: KeyPath) -> SourceLine:
    """Where ``path`` was written, or the nearest thing above it."""
    while path and path not in lines:
        path = path[:-1]
    return lines[path]


def dotted(path: KeyPath) -> str:
    """``budget.trials``."""
    return ".".join(str(part) for part in path)
