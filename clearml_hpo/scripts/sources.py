"""Python sources: their text, what they import, and which files they name."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.core import syntax
from clearml_hpo.core.errors import InputError

_LONGEST_NAME = 200  # of a file that a text may name
_WRITES = re.compile(r"(save\w*|to_\w+|dump|write\w*|mkdir|makedirs|unlink|remove|rmtree|FileHandler)$")
_WRITE_MODES = set("wax")


@dataclass(frozen=True)
class Imported:
    """A module that a source imports.

    Attributes:
        name: its first part.
        is_optional: within ``try``: the script may do without it.
    """

    name: str
    is_optional: bool = False


def source_of(script: Path) -> str:
    """The text of a script, which its template carries and workers write as UTF-8.

    Raises:
        InputError: it cannot be read, or is text of another encoding, or no text.
    """
    try:
        with script.open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        text = script.read_text(encoding=encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"template.script: {script} cannot be read: {error}; save it as UTF-8") from None
    if not encoding.startswith("utf-8") and not text.isascii():
        raise InputError(f"template.script: {script} is written in {encoding}; save it as UTF-8")
    if "\0" in text:
        raise InputError(f"template.script: {script} is no text: it has NUL characters")
    return text


def parse(source: str) -> ast.Module:
    """The syntax tree of a script; raises InputError, with the line, for one that is no Python."""
    try:
        return syntax.parse(source)
    except SyntaxError as error:
        raise InputError(f"template.script: line {error.lineno}: not Python: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"template.script: not Python: {error}") from None


def imports_of(tree: ast.Module) -> Iterator[Imported]:
    """What a source imports by name; relative imports are of its own package."""
    optional = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Imported(alias.name.partition(".")[0], id(node) in optional) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield Imported(node.module.partition(".")[0], id(node) in optional)


def changes_path(tree: ast.Module) -> bool:
    """Whether it may change where modules are looked for."""
    return any(
        isinstance(node, ast.Attribute) and node.attr == "path" and _is_sys(node.value) for node in ast.walk(tree)
    )


def climbs(tree: ast.Module) -> bool:
    """Whether it may look for files above its own folder: ``Path(__file__).parent.parent / "settings"``."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("parent", "parents", "dirname") for node in ast.walk(tree)
    )


def named_files(tree: ast.Module) -> set[str]:
    """Texts that may name a file or folder that the script reads; those that it writes are left out."""
    return {text for text in {*_texts(tree)} - written_files(tree) if _may_name(text)}


def written_files(tree: ast.Module) -> set[str]:
    """Texts that may name a file or folder that the script writes."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _writes(node))
    return {text for call in calls for text in _texts(call) if _may_name(text)}


def _may_name(text: str) -> bool:
    return bool(text.strip("./")) and len(text) <= _LONGEST_NAME and not {"\n", "\0"} & set(text)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _is_sys(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "sys"


def _writes(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name != "open":
        return bool(_WRITES.match(name))
    given = [*call.args[:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return any(len(mode) <= 3 and _WRITE_MODES & set(mode) for mode in modes)
