"""The imports of a script that may be done before it runs: nothing in the script can affect them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.core import syntax


@dataclass(frozen=True)
class Import:
    """``import module``, or ``from module import names``."""

    module: str
    names: tuple[str, ...] = ()


def leading_imports(source: str | bytes, roots: Sequence[Path]) -> Iterator[Import]:
    """The imports at a script's top, up to the first statement that may affect the imports after it.

    Only imports, definitions and assignments of values without calls are known not to. ``os.environ["A"] = "b"`` may
    change how the libraries below it behave, and so may a module of the script's own.

    Args:
        source: of the script; one that does not compile has no such imports.
        roots: folders of the script's own modules.
    """
    try:
        body = syntax.parse(source).body
    except (SyntaxError, ValueError):  # the run will fail with it
        return
    for statement in body:
        for found in _imports(statement):
            if _is_own(found.module, roots):
                return
            yield found
        if not _is_inert(statement):
            return


def load(found: Import) -> None:
    """Imports it. Errors are ignored: the script will raise them again, where the user sees them."""
    try:
        module = importlib.import_module(found.module)
        for name in found.names:
            if not hasattr(module, name):
                importlib.import_module(f"{found.module}.{name}")
    except BaseException:  # modules may even exit
        return


def shadowed(loaded: Iterable[str], roots: Sequence[Path]) -> str:
    """A module of the script's own that it could not import, because another one of that name is loaded; else empty."""
    for name in loaded:
        if "." in name or name.startswith("_"):
            continue
        if any((root / f"{name}.py").is_file() or (root / name / "__init__.py").is_file() for root in roots):
            return name
    return ""


def _imports(statement: ast.stmt) -> Iterator[Import]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield Import(alias.name)
    elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
        yield Import(statement.module, tuple(alias.name for alias in statement.names if alias.name != "*"))


def _is_own(module: str, roots: Sequence[Path]) -> bool:
    top = module.partition(".")[0]
    return any((root / f"{top}.py").exists() or (root / top).is_dir() for root in roots)


def _is_inert(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return not statement.decorator_list
    if isinstance(statement, ast.ClassDef):
        return not statement.decorator_list and all(map(_is_inert, statement.body))
    if isinstance(statement, ast.ImportFrom):
        return not statement.level
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return all(isinstance(target, ast.Name) for target in targets) and _calls_nothing(statement.value)
    return isinstance(statement, ast.Import | ast.Pass)


def _calls_nothing(value: ast.expr | None) -> bool:
    calls = (ast.Call, ast.Await, ast.NamedExpr, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)
    return value is None or not any(isinstance(node, calls) for node in ast.walk(value))
