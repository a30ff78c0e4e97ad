"""The source of a script and of its own modules: what may change settings before ClearML's SDK reads them."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from clearml_hpo.core import syntax

_MOST_CHARACTERS = 4 * 1024 * 1024
_BY_NAME = {
    *("__import__", "exec", "eval", "import_module", "exec_module", "load_module", "run_module", "run_path"),
    *("importlib", "runpy", "imp", "pkgutil", "site"),
}
"""What imports modules whose names no syntax tree shows."""


def own_sources(file: Path, roots: Sequence[Path]) -> str:
    """The text of a script, and of the modules in ``roots`` that its imports lead to, wherever they stand.

    It is the text of all modules of the last root, any of which may run, if an import cannot be followed: by a name
    that is made as it runs, after a change of ``sys.path``, or of a module that is somewhere below that root, as an
    installed package's source may be. At most four million characters.
    """
    texts: dict[Path, str] = {}
    left, tree_of = [file], _Tree(roots[-1])
    while left:
        path = left.pop()
        if path in texts:
            continue
        try:
            texts[path] = path.read_text(errors="replace")
            tree = syntax.parse(texts[path])
        except (OSError, ValueError, SyntaxError, RecursionError):
            return tree_of.text(file)
        if any(_imports_by_name(node) for node in ast.walk(tree)):
            return tree_of.text(file)
        for module, within in _imported(tree, path, roots):
            found = [*_files(module, within)]
            is_elsewhere = not found and module.partition(".")[0] in tree_of.names
            if is_elsewhere and not any(_is_below(module, root) for root in within):
                return tree_of.text(file)
            left += found
    return "\n".join(texts.values())[:_MOST_CHARACTERS]


def _imports_by_name(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
        return any(name.partition(".")[0] in _BY_NAME for name in named)
    if isinstance(node, ast.Attribute):
        return node.attr == "path" and isinstance(node.value, ast.Name) and node.value.id == "sys"
    return isinstance(node, ast.Name) and node.id in _BY_NAME


def _imported(tree: ast.AST, path: Path, roots: Sequence[Path]) -> Iterator[tuple[str, Sequence[Path]]]:
    """The modules that an import anywhere in a tree names, and the folders in which they are looked for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, roots) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            within = [path.parents[node.level - 1]] if 0 < node.level <= len(path.parents) else roots
            module = node.module or ""
            yield module, within
            yield from ((f"{module}.{alias.name}".strip("."), within) for alias in node.names)


def _files(module: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Those of a module and of the packages around it; of a folder's own package if ``module`` is empty."""
    words = module.split(".") if module else []
    for root in roots:
        places = [root.joinpath(*words[:count]) for count in range(1, len(words) + 1)]
        files = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py"))]
        yield from filter(Path.is_file, files or [root / "__init__.py"])


def _is_below(module: str, root: Path) -> bool:
    """Whether a package without ``__init__.py`` has this name."""
    return (root / module.partition(".")[0]).is_dir()


class _Tree:
    """All modules below a folder, but for those of installed libraries and hidden folders."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _paths(self) -> list[Path]:
        found = []
        for folder, folders, files in os.walk(self._root):
            folders[:] = [name for name in folders if not name.startswith(".") and name != "site-packages"]
            found += [Path(folder, name) for name in files if name.endswith(".py")]
        return found

    @cached_property
    def names(self) -> frozenset[str]:
        """What an import may call them, or the packages around them."""
        return frozenset(name for path in self._paths for name in (path.stem, path.parent.name))

    def text(self, file: Path) -> str:
        """The text of a script and of all of these."""
        texts, left = [], _MOST_CHARACTERS
        for path in [file, *self._paths]:
            with contextlib.suppress(OSError):
                text = path.read_text(errors="replace")[:left]
                texts.append(text)
                left -= len(text)
            if left <= 0:
                break
        return "\n".join(texts)
