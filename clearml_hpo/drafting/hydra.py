"""The configuration that Hydra composes: the section ``Hydra``."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from clearml_hpo.drafting.found import Found, flat, kind_of
from clearml_hpo.drafting.signatures import fields
from clearml_hpo.drafting.source import Program, Source, keyword

HYDRA = "Hydra"
_SECTION = f"{HYDRA}/"
_DEEPEST = 10


def composed(program: Program) -> Iterator[Found | str]:
    """The values of the configuration of ``@hydra.main``, and its groups as choices."""
    for source in program.sources:
        for function in source.functions.values():
            for decorator in function.decorator_list:
                if isinstance(decorator, ast.Call) and source.dotted(decorator.func) == "hydra.main":
                    yield from _of_main(program, source, decorator)


def _of_main(program: Program, source: Source, decorator: ast.Call) -> Iterator[Found | str]:
    path, name = keyword(decorator, "config_path", 0), keyword(decorator, "config_name", 1)
    folder = program.entry(source, path) if path is not None else None
    config = program.entry(source, name) if name is not None else None
    if not isinstance(config, str):
        yield f"{source.path.name}:{decorator.lineno}: the configuration that Hydra reads"
        return
    configs = _Configs(source.path.parent / folder if isinstance(folder, str) else None, _stored(program))
    values = configs.compose(config.removesuffix(".yaml"))
    if values is None:
        yield f"{source.path.name}:{decorator.lineno}: no configuration {config!r} of Hydra"
        return
    for group, choices in configs.groups.items():
        if len(choices) > 1 and configs.chosen[group] in choices:
            yield Found(f"{_SECTION}{group}", "str", configs.chosen[group], tuple(choices))
    for key, value in flat(values, ".").items():
        if not str(value).startswith("${"):
            yield Found(f"{_SECTION}{key}", kind_of(value), value, is_required=value == "???")


class _Configs:
    """Configurations of a folder and of the ``ConfigStore``, as Hydra composes them.

    Attributes:
        groups: the names that a group has.
        chosen: the one of each group that the defaults name.
    """

    def __init__(self, folder: Path | None, stored: Mapping[str, dict[str, Any]]) -> None:
        self._folder = folder
        self._stored = stored
        self.groups: dict[str, list[str]] = {}
        self.chosen: dict[str, str] = {}

    def compose(self, name: str, depth: int = 0) -> dict[str, Any] | None:
        """The values of a configuration and of its defaults; None if there is none of this name."""
        given = self._read(name)
        if given is None or depth > _DEEPEST:
            return None
        own = {key: value for key, value in given.items() if key not in ("defaults", "hydra")}
        listed = given.get("defaults")
        defaults = listed if isinstance(listed, list) else []
        values: dict[str, Any] = {}
        for entry in defaults if "_self_" in defaults else [*defaults, "_self_"]:
            _merge(values, own if entry == "_self_" else self._default(entry, name, depth))
        return values

    def _default(self, entry: Any, name: str, depth: int) -> dict[str, Any]:
        """The values of one line of a list of defaults, at their place."""
        group, option = next(iter(entry.items())) if isinstance(entry, dict) and entry else ("", entry)
        is_override = str(group).startswith("override ")
        group = str(group).removeprefix("override ").removeprefix("optional ").strip("/")
        group, _, package = group.partition("@")
        if not isinstance(option, str) or group.startswith("hydra"):
            return {}
        if is_override:
            self.chosen[group] = option
            return {}
        above = name.rpartition("/")[0]
        at = "/".join(filter(None, [above, group]))
        if group:
            self.groups[at] = self._names_in(at)
            option = self.chosen.setdefault(at, option)
        inner = self.compose(f"{at}/{option}" if at else option, depth + 1) or {}
        place = package or self._package(f"{at}/{option}")
        parts = [] if place == "_global_" else (place or group.replace("/", ".")).split(".")
        for part in reversed([part for part in parts if part]):
            inner = {part: inner}
        return inner

    def _package(self, name: str) -> str:
        """What the head of a file says: ``# @package _global_``."""
        path = self._path(name)
        first = path.read_text(encoding="utf-8").partition("\n")[0] if path is not None else ""
        return first.partition("@package")[2].strip() if first.startswith("#") else ""

    def _path(self, name: str) -> Path | None:
        path = self._folder / f"{name}.yaml" if self._folder is not None else None
        return path if path is not None and path.is_file() else None

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._path(name)
        if path is None:
            return self._stored.get(name)
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return None
        return found if isinstance(found, dict) else {}

    def _names_in(self, group: str) -> list[str]:
        folder = self._folder / group if self._folder is not None else None
        files = folder.glob("*.yaml") if folder is not None else ()
        stored = (name.rpartition("/")[2] for name in self._stored if name.rpartition("/")[0] == group)
        return sorted({path.stem for path in files} | set(stored))


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _stored(program: Program) -> dict[str, dict[str, Any]]:
    """What the script puts into Hydra's ``ConfigStore``, by ``group/name``."""
    found = {}
    for source in program.sources:
        for call in source.calls:
            if not (isinstance(call.func, ast.Attribute) and call.func.attr == "store"):
                continue
            name, node, group = keyword(call, "name", 0), keyword(call, "node", 1), keyword(call, "group", 2)
            if name is not None and node is not None:
                own = str(program.entry(source, name)).removesuffix(".yaml")
                at = program.entry(source, group) if group is not None else None
                found[f"{at}/{own}" if at else own] = _node(program, source, node)
    return found


def _node(program: Program, source: Source, node: ast.expr) -> dict[str, Any]:
    """A dictionary, or a dataclass with those inside of it."""
    record = program.class_(source, node.func if isinstance(node, ast.Call) else node)
    if record is None:
        value = program.entry(source, node)
        return value if isinstance(value, dict) else {}
    values: dict[str, Any] = {}
    for found in fields(program, *record, ""):
        *above, own = found.name.split(".")
        inner = values
        for part in above:
            inner = inner.setdefault(part, {})
        inner[own] = "???" if found.is_required else found.default
    return values
