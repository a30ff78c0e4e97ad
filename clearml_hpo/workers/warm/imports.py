"""The imports of a script that may be done before it runs: nothing in the script can affect them."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.core import syntax

PURE = {
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "frozenset", "int", "list", "range", "set", "str")),
    *(f"builtins.{name}" for name in ("classmethod", "len", "max", "min", "property", "staticmethod", "tuple")),
    *("abc.abstractmethod", "contextlib.contextmanager", "dataclasses.dataclass", "dataclasses.field"),
    *("functools.cache", "functools.lru_cache", "functools.total_ordering", "logging.getLogger", "pathlib.Path"),
    *("re.compile", "typing.NewType", "typing.TypeVar", "typing.final", "typing.overload"),
}
"""Functions and decorators that scripts call before their last import, and that affect no import."""
_RUNS = (ast.Await, ast.NamedExpr, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)


@dataclass(frozen=True)
class Import:
    """``import module``, or ``from module import names``."""

    module: str
    names: tuple[str, ...] = ()


def leading_imports(source: str | bytes, roots: Sequence[Path]) -> Iterator[Import]:
    """The imports that a script does first, up to the first statement that may affect the imports after it.

    Known not to are imports, definitions, values without calls, and calls that only make a value (``PURE``). Of
    ``try:``, ``if TYPE_CHECKING:`` and ``if __name__ == "__main__":`` the part counts that runs. ``os.environ["A"] =
    "b"`` may change how the libraries below it behave, and so may a module of the script's own.

    Args:
        source: of the script; one that does not compile has no such imports.
        roots: folders of the script's own modules.
    """
    try:
        tree = syntax.parse(source)
    except (SyntaxError, ValueError):  # the run will fail with it
        return
    yield from _Reader(tree, roots).imports(tree.body)


class _Reader:
    """Follows a script from its top, for as long as it is known what each statement does."""

    def __init__(self, tree: ast.Module, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._rebound = {*_names_made(tree)}
        self._known = {name: f"builtins.{name}" for name in dir(builtins)}

    def imports(self, body: Iterable[ast.stmt]) -> Generator[Import, None, bool]:
        """The imports of statements that run. Returns True if none of these may affect the imports after it."""
        for statement in body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for found in _imports(statement):
                    if _is_own(found.module, self._roots):
                        return False
                    yield found
                if isinstance(statement, ast.ImportFrom) and statement.level:
                    return False
                self._note(statement)
            elif isinstance(statement, ast.If) and (branch := _branch(statement)) is not None:
                if not (yield from self.imports(branch)):
                    return False
            elif isinstance(statement, ast.Try):
                if not (yield from self.imports(statement.body)):
                    return False
                # Whether a handler runs is not known: its imports are left to the script.
                if not all(self._is_harmless(handler.body) for handler in statement.handlers):
                    return False
                if not (yield from self.imports([*statement.orelse, *statement.finalbody])):
                    return False
            elif not self._is_inert(statement):
                return False
        return True

    def _is_harmless(self, body: Iterable[ast.stmt]) -> bool:
        imports = self.imports(body)
        while True:
            try:
                next(imports)
            except StopIteration as end:
                return bool(end.value)

    def _note(self, statement: ast.Import | ast.ImportFrom) -> None:
        """Remembers which names stand for what; the script may give the same name to something of its own."""
        for alias in statement.names:
            name = alias.asname or alias.name
            of = f"{statement.module}.{alias.name}" if isinstance(statement, ast.ImportFrom) else alias.name
            self._known[name] = of

    def _is_inert(self, statement: ast.stmt) -> bool:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            return all(map(self._is_pure, statement.decorator_list))
        if isinstance(statement, ast.ClassDef):
            return all(map(self._is_pure, statement.decorator_list)) and all(map(self._is_inert, statement.body))
        if isinstance(statement, ast.ImportFrom):
            return not statement.level
        if isinstance(statement, ast.Expr):
            return isinstance(statement.value, ast.Constant)
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            return all(isinstance(target, ast.Name) for target in targets) and self._only_makes(statement.value)
        return isinstance(statement, ast.Import | ast.Pass)

    def _only_makes(self, value: ast.expr | None) -> bool:
        nodes = [] if value is None else [*ast.walk(value)]
        calls = [node.func for node in nodes if isinstance(node, ast.Call)]
        return not any(isinstance(node, _RUNS) for node in nodes) and all(map(self._is_pure, calls))

    def _is_pure(self, function: ast.expr) -> bool:
        """Whether a call of it, or it as a decorator, only makes a value."""
        if isinstance(function, ast.Call):
            return self._only_makes(function)
        name, dot, attribute = ast.unparse(function).partition(".")
        return name not in self._rebound and f"{self._known.get(name)}{dot}{attribute}" in PURE


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


def _names_made(tree: ast.Module) -> Iterator[str]:
    """Names that stand for something of the script's own, wherever it is made."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _branch(statement: ast.If) -> Sequence[ast.stmt] | None:
    """What of it runs in a script; None if that is not known."""
    test = ast.unparse(statement.test)
    if test == "__name__ == '__main__'":
        return statement.body
    return statement.orelse if test in ("TYPE_CHECKING", "typing.TYPE_CHECKING") else None
