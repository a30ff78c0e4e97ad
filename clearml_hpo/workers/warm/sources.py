"""The source of a script and of its own modules: what may change settings before ClearML's SDK reads them."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from clearml_hpo.core import syntax

_MOST_CHARACTERS = 4 * 1024 * 1024
_BY_NAME = {
    *("__import__", "exec", "eval", "import_module", "exec_module", "load_module", "run_module", "run_path"),
    *("importlib", "runpy", "imp", "pkgutil"),
}
"""What imports modules whose names no syntax tree shows."""


def own_sources(file: Path, roots: Sequence[Path]) -> str:
    """The text of a script, and of the modules in ``roots`` that its imports lead to, wherever they stand.

    If one of them imports by a name that is made as it runs, or cannot be read, the text of all modules of the last
    root: any of them may run. At most four million characters.
    """
    texts: dict[Path, str] = {}
    left = [file]
    while left:
        path = left.pop()
        if path in texts:
            continue
        try:
            texts[path] = path.read_text(errors="replace")
            tree = syntax.parse(texts[path])
        except (OSError, ValueError, SyntaxError, RecursionError):
            return _all_of(file, roots[-1])
        if any(_imports_by_name(node) for node in ast.walk(tree)):
            return _all_of(file, roots[-1])
        left += _imported(tree, path, roots)
    return "\n".join(texts.values())[:_MOST_CHARACTERS]


def _imports_by_name(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
        return any(name.partition(".")[0] in _BY_NAME for name in named)
    return isinstance(node, ast.Name) and node.id in _BY_NAME


def _imported(tree: ast.AST, path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Files of the modules, and of the packages around them, that an import anywhere in a tree names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            within = [path.parents[node.level - 1]] if 0 < node.level <= len(path.parents) else roots
            module = node.module or ""
            yield from _files(module, within)
            for alias in node.names:
                yield from _files(f"{module}.{alias.name}".strip("."), within)


def _files(module: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Those of a module and of the packages around it; of a folder's own package if ``module`` is empty."""
    words = module.split(".") if module else []
    for root in roots:
        places = [root.joinpath(*words[:count]) for count in range(1, len(words) + 1)]
        files = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py"))]
        yield from filter(Path.is_file, files or [root / "__init__.py"])


def _all_of(file: Path, root: Path) -> str:
    texts, left = [], _MOST_CHARACTERS
    for path in [file, *root.rglob("*.py")]:
        with contextlib.suppress(OSError):
            text = path.read_text(errors="replace")[:left]
            texts.append(text)
            left -= len(text)
        if left <= 0:
            break
    return "\n".join(texts)
