"""YAML with the line of every key, so that an error can name it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from clearml_hpo.errors import InputError
from clearml_hpo.spec.models import name_alone


@dataclass(frozen=True)
class Mark:
    """Where a value was written."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


KeyPath: TypeAlias = tuple[str | int, ...]
Marks: TypeAlias = dict[KeyPath, Mark]


def read_yaml(path: Path) -> tuple[dict[Any, Any], Marks]:
    """The file's keys and values, and where each was written; raises InputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = Mark(str(path), mark.line + 1 if mark else None)
        raise InputError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected keys and values, found {type(data).__name__}")
    assert node is not None  # it was composed to a dict
    marks: Marks = {}
    _mark_nodes(node, (), str(path), marks)
    return data, marks


def _mark_nodes(node: yaml.Node, path: KeyPath, file: str, marks: Marks) -> None:
    marks.setdefault(path, Mark(file, node.start_mark.line + 1))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            at = (*path, key.value)
            marks[at] = Mark(file, key.start_mark.line + 1)
            if key.value in seen:
                raise InputError(f"{marks[at]}: {dotted(at)}: given twice")
            seen.add(key.value)
            _mark_nodes(value, at, file, marks)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _mark_nodes(value, (*path, index), file, marks)


def apply_override(data: dict[Any, Any], marks: Marks, override: str) -> None:
    """Sets ``key.key=value`` (the value in YAML) in ``data``; raises InputError."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    if not equals or not key:
        raise InputError(f"{where}: expected key=value, such as budget.trials=5")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"{where}: the value is not YAML") from None
    *parents, last = key.split(".")
    target = data
    for depth, parent in enumerate(parents):
        if isinstance(target.get(parent), str) and depth == 0 and parent in ("sampler", "pruner"):
            target[parent] = name_alone(target[parent])
        child = target.get(parent)
        if not isinstance(child, (dict, type(None))):
            raise InputError(f"{where}: {parent} holds a value, not keys")
        target[parent] = dict(child or {})  # a copy: YAML may have put it in a second place too, by an alias
        target = target[parent]
    target[last] = value
    path = (*parents, last)
    for known in [p for p in marks if p[: len(path)] == path]:
        del marks[known]
    for depth in range(1, len(path)):
        marks.setdefault(path[:depth], Mark(where))
    marks[path] = Mark(where)


def mark_of(marks: Marks, path: KeyPath) -> Mark:
    """Where ``path`` was written, or the nearest thing above it."""
    while path and path not in marks:
        path = path[:-1]
    return marks[path]


def dotted(path: KeyPath) -> str:
    """``budget.trials``."""
    return ".".join(str(part) for part in path)
