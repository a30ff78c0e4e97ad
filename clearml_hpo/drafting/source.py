"""A script and the modules beside it, read without running them."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from clearml_hpo.core import syntax
from clearml_hpo.core.errors import InputError

_MOST_FILES = 50
_DEEPEST = 20
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_CASTS = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple}


class Unreadable(Exception):
    """What an expression is worth is known only when the script runs."""


class Member(str):
    """A member of an Enum: the text of its value.

    Attributes:
        name: its own.
        names: those of all members.
        is_plain: True if it is a text or number itself: ``class Kind(str, Enum)``.
    """

    name: str
    names: tuple[str, ...]
    is_plain: bool

    @classmethod
    def of(cls, definition: ast.ClassDef, name: str, value: object) -> Member:
        """The member of this name of an Enum."""
        member = cls(value)
        assigned = (target for node in definition.body if isinstance(node, ast.Assign) for target in node.targets)
        member.name = name
        member.names = tuple(target.id for target in assigned if isinstance(target, ast.Name))
        member.is_plain = any(isinstance(base, ast.Name) and base.id in ("str", "int") for base in definition.bases)
        return member


class Source:
    """One Python file.

    Attributes:
        imports: names in the file, and what they stand for: ``np`` → ``numpy``, ``Task`` → ``clearml.Task``.
        values: expressions that are assigned to each name.
    """

    def __init__(self, path: Path, tree: ast.Module, package: str = "") -> None:
        """A file of ``package``, the dotted name of its folder where it is imported."""
        self.path = path
        self.tree = tree
        self.package = package
        self.imports: dict[str, str] = {}
        self.values: dict[str, list[ast.expr]] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for node in ast.walk(tree):
            self._note(node)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                self.imports[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            module = self._module(node)
            self.imports.update({a.asname or a.name: f"{module}.{a.name}".lstrip(".") for a in node.names})
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.functions.setdefault(node.name, node)
        elif isinstance(node, ast.ClassDef):
            self.classes.setdefault(node.name, node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and not _is_connected(node.value, target.id):
                    self.values.setdefault(target.id, []).append(_unconnected(node.value))
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and isinstance(node.target, ast.Name) and node.value:
            self.values.setdefault(node.target.id, []).append(node.value)

    def _module(self, node: ast.ImportFrom) -> str:
        """The dotted name of the module that names are imported from."""
        if not node.level:
            return node.module or ""
        above = self.package.split(".") if self.package else []
        return ".".join([*above[: len(above) - node.level + 1], *filter(None, [node.module])])

    @cached_property
    def calls(self) -> list[ast.Call]:
        """All calls, in the order of the file."""
        found = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]
        return sorted(found, key=lambda call: (call.lineno, call.col_offset))

    def dotted(self, node: ast.AST) -> str:
        """The name of what an expression means, imports resolved: ``clearml.Task.init()``; empty if it has none."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        if isinstance(node, ast.Call):
            called = self.dotted(node.func)
            return f"{called}()" if called else ""
        return ""


class Program:
    """A script with the modules beside it that it imports."""

    def __init__(self, path: Path, root: Path) -> None:
        """The script at ``path``; ``root`` is the folder that its imports begin in. Raises InputError."""
        self.root = root
        self.main = _parse(path, _package(path, root))
        self.modules: dict[str, Source] = {}
        self._collect(self.main)

    @property
    def sources(self) -> Iterator[Source]:
        """The script itself first."""
        yield self.main
        yield from self.modules.values()

    @property
    def libraries(self) -> frozenset[str]:
        """The top-level names of what it imports."""
        return frozenset(name.partition(".")[0] for source in self.sources for name in source.imports.values())

    def _collect(self, source: Source) -> None:
        for name in [*source.imports.values()]:
            for module in (name, name.rpartition(".")[0]):
                path = self._file_of(module)
                if path is None or module in self.modules or path == self.main.path:
                    continue
                if len(self.modules) < _MOST_FILES:
                    try:
                        self.modules[module] = found = _parse(path, _package(path, self.root))
                    except InputError:  # the script itself cannot import it either
                        continue
                    self._collect(found)

    def _file_of(self, module: str) -> Path | None:
        if not module:
            return None
        below = self.root.joinpath(*module.split("."))
        return next((p for p in (below.with_suffix(".py"), below / "__init__.py") if p.is_file()), None)

    def find(self, source: Source, name: str) -> tuple[Source, str]:
        """The file in which a name of ``source`` is defined, and its name there."""
        for _ in range(_DEEPEST):
            module, _, own = source.imports.get(name, "").rpartition(".")
            if module not in self.modules or name in source.functions or name in source.classes:
                break
            source, name = self.modules[module], own
        return source, name

    def function(self, source: Source, node: ast.AST) -> tuple[Source, ast.FunctionDef | ast.AsyncFunctionDef] | None:
        """The function that an expression names, and the file it is in."""
        if not isinstance(node, ast.Name):
            return None
        home, name = self.find(source, node.id)
        return (home, home.functions[name]) if name in home.functions else None

    def class_(self, source: Source, node: ast.AST) -> tuple[Source, ast.ClassDef] | None:
        """The class that an expression names, and the file it is in."""
        if not isinstance(node, ast.Name):
            return None
        home, name = self.find(source, node.id)
        return (home, home.classes[name]) if name in home.classes else None

    def assigned(self, source: Source, node: ast.expr, depth: int = 0) -> tuple[Source, ast.expr]:
        """The expression behind a name that is assigned once; any other expression is itself."""
        if isinstance(node, ast.Name) and depth < _DEEPEST:
            home, name = self.find(source, node.id)
            if len(home.values.get(name, ())) == 1:
                return self.assigned(home, home.values[name][0], depth + 1)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and depth < _DEEPEST:
            module = self.modules.get(source.imports.get(node.value.id, ""))
            if module is not None and len(module.values.get(node.attr, ())) == 1:
                return self.assigned(module, module.values[node.attr][0], depth + 1)
        return source, node

    def value(self, source: Source, node: ast.expr, depth: int = 0) -> Any:
        """What an expression is worth; raises Unreadable."""
        if depth > _DEEPEST:
            raise Unreadable
        source, node = self.assigned(source, node)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            items = [self.value(source, item, depth + 1) for item in node.elts]
            return items if isinstance(node, ast.List) else tuple(items)
        if isinstance(node, ast.Dict):
            return self._mapping(source, node, depth)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
            inner = self.value(source, node.operand, depth + 1)
            return not inner if isinstance(node.op, ast.Not) else _compute(operator.neg, inner)
        if isinstance(node, ast.BinOp):
            parts = [self.value(source, side, depth + 1) for side in (node.left, node.right)]
            return _compute(_operator(node.op, parts), *parts)
        if isinstance(node, ast.Call):
            return self._called(source, node, depth)
        if isinstance(node, ast.Attribute) and (found := self.class_(source, node.value)):
            value = self.value(found[0], _attribute(found[1], node.attr), depth + 1)
            return Member.of(found[1], node.attr, value) if is_enum(found[1]) else value
        raise Unreadable

    def _mapping(self, source: Source, node: ast.Dict, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:  # {**other}
                inner = self.value(source, value, depth + 1)
                if not isinstance(inner, dict):
                    raise Unreadable
                found.update(inner)
            else:
                found[_hashable(self.value(source, key, depth + 1))] = self.entry(source, value, depth)
        return found

    def entry(self, source: Source, node: ast.expr, depth: int = 0) -> Any:
        """What a value in a mapping is worth; None if that is not known: its name still is."""
        try:
            return self.value(source, node, depth + 1)
        except Unreadable:
            return None

    def given(self, source: Source, call: ast.Call) -> dict[str, Any]:
        """What the named arguments of a call are worth; None for one that is not known."""
        return {given.arg: self.entry(source, given.value) for given in call.keywords if given.arg}

    def texts(self, source: Source, nodes: Iterable[ast.expr]) -> list[str]:
        """The texts that these are; none if one of them is no text, or not known."""
        found = [self.entry(source, node) for node in nodes]
        return found if all(isinstance(each, str) for each in found) else []

    def _called(self, source: Source, call: ast.Call, depth: int) -> Any:
        name = source.dotted(call.func)
        if name.rpartition(".")[2] in ("copy", "deepcopy") and isinstance(call.func, ast.Attribute):
            of = call.args[0] if call.args else call.func.value
            return self.value(source, of, depth + 1)
        if name == "dict":
            parts = [self.value(source, arg, depth + 1) for arg in call.args]
            named = {k.arg: k.value for k in call.keywords if k.arg}
            spread = [self.value(source, k.value, depth + 1) for k in call.keywords if not k.arg]
            if all(isinstance(part, dict) for part in (*parts, *spread)):
                given = {key: self.entry(source, value, depth) for key, value in named.items()}
                return {k: v for part in (*parts, given, *spread) for k, v in part.items()}
        if name in _CASTS and len(call.args) == 1:
            return _compute(_CASTS[name], self.value(source, call.args[0], depth + 1))
        if name == "pathlib.Path" and call.args:
            return str(PurePath(*(str(self.value(source, arg, depth + 1)) for arg in call.args)))
        raise Unreadable


def is_enum(definition: ast.ClassDef) -> bool:
    """True if a class is an Enum."""
    return any("Enum" in ast.unparse(base) for base in definition.bases)


def keyword(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """The argument of a call that has this name, or stands at this position."""
    if position is not None and len(call.args) > position:
        return call.args[position]
    return next((given.value for given in call.keywords if given.arg == name), None)


def _unconnected(value: ast.expr) -> ast.expr:
    """What `task.connect` is given, which it returns."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "connect":
        return value.args[0] if value.args else value
    return value


def _is_connected(value: ast.expr, name: str) -> bool:
    """True of ``params = task.connect(params)``."""
    given = _unconnected(value)
    return given is not value and isinstance(given, ast.Name) and given.id == name


def _attribute(definition: ast.ClassDef, name: str) -> ast.expr:
    for node in definition.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.expr):
                return value
    raise Unreadable


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        raise Unreadable
    return value


def _operator(op: ast.operator, parts: list[Any]) -> Any:
    if isinstance(op, ast.Pow) and all(isinstance(p, (int, float)) and abs(p) <= 1000 for p in parts):
        return operator.pow
    if type(op) not in _OPERATORS or not all(isinstance(part, (int, float)) for part in parts):
        raise Unreadable
    return _OPERATORS[type(op)]


def _compute(function: Any, *values: Any) -> Any:
    try:
        return function(*values)
    except (TypeError, ValueError, ArithmeticError):
        raise Unreadable from None


def _parse(path: Path, package: str) -> Source:
    try:
        return Source(path, syntax.parse(path.read_bytes()), package)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno}: not Python: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not Python: {error}") from None


def _package(path: Path, root: Path) -> str:
    return ".".join(path.parent.relative_to(root).parts) if path.is_relative_to(root) else ""
