"""Where a script lies, and how a study file names it."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearml_hpo.core import syntax
from clearml_hpo.core.errors import InputError

_COMMON = ("train", "main", "run", "script", "training", "trainer", "fit", "experiment", "__main__")
"""Names that many scripts have."""


@dataclass(frozen=True)
class Location:
    """A script seen from the folder of a study file.

    Attributes:
        script: its file.
        root: the folder that its imports begin in.
        target: what Python runs: the file, or ``-m:package.module``.
        folder: its working directory.
        template: the block ``template`` that names it.
    """

    script: Path
    root: Path
    target: str
    folder: Path
    template: dict[str, Any] = field(default_factory=dict)

    @property
    def study_name(self) -> str:
        """The name of a study of it: that of its folder too, where the script's own says little."""
        stem = self.script.stem
        return f"tune-{self.script.parent.name}-{stem}" if stem in _COMMON else f"tune-{stem}"

    @classmethod
    def of(cls, script: Path, study_folder: Path) -> Location:
        """A script as a file, or as a module of a package if it imports relatively; raises InputError."""
        script, base = script.resolve(), study_folder.resolve()
        if not script.is_file():
            raise InputError(f"{script}: no such file")
        if not _imports_relatively(script):
            template = {"script": os.path.relpath(script, base)}
            return cls(script, script.parent, str(script), script.parent, template)
        root = script.parent.parent
        while (root / "__init__.py").is_file():
            root = root.parent
        module = ".".join(script.relative_to(root).with_suffix("").parts)
        elsewhere = {} if root == base else {"directory": os.path.relpath(root, base)}
        return cls(script, root, f"-m:{module}", root, {"module": module, **elsewhere})


def _imports_relatively(script: Path) -> bool:
    try:
        tree = syntax.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False  # said when it is read
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
