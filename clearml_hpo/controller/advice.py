"""What to do about a script whose first run shows no hyperparameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import packages_distributions
from pathlib import Path

_BY_HAND = "run the script once by hand{}, and name its task in the study file: template: {{task: ID}}"
_NOTED = (
    "ClearML's SDK notes arguments of click, Fire and jsonargparse in a run by hand, in our workers and in agents that "
    "`clearml-hpo` starts: " + _BY_HAND.format("")
)
_ADVICE = (
    (
        r"arguments are required|one of the arguments .* is required|Missing (argument|option)|received no value",
        "a first run has no arguments: " + _BY_HAND.format(" with them"),
    ),
    (r"KeyError: '?Args'?", _NOTED),
    (r"keywords must be strings", 'a dictionary for task.connect has texts as keys, such as {"1": ...}'),
)
_LOST = re.compile(r"No module named|No such file or directory|[Pp]rimary config|can't open file")
_CONNECT = 'connect what is to be varied, such as task.connect({"lr": 0.1}), or parse it with argparse'


def what_to_do(said: str, script: Path | None) -> str:
    """What mends a first run that said ``said``, empty if that is not known; ``script`` is the study file's."""
    for pattern, advice in _ADVICE:
        if re.search(pattern, said):
            return advice
    if _LOST.search(said) and script is not None and (names := beside(script)):
        return f"{_travels_alone(names)}: put it in a git repository with a remote, push, {_BY_HAND.format(' there')}"
    return ""


def what_to_connect(script: Path | None) -> str:
    """What makes hyperparameters of a script known that has run, and connected none."""
    modules = {module for module, _ in _imports(_tree(script))} if script is not None else set()
    if "typer" in modules:
        return f"ClearML's SDK does not see Typer's arguments: {_CONNECT}"
    return _NOTED if modules & {"click", "fire", "jsonargparse"} else _CONNECT


def warning(script: Path) -> str:
    """What a script may miss where it runs; empty if nothing."""
    names = beside(script)
    return f"{script.name}: {_travels_alone(names)}" if names else ""


def beside(script: Path) -> list[str]:
    """Files and folders beside a script that its text names, and modules there that it imports."""
    tree, installed = _tree(script), packages_distributions()
    imported = {module for module, level in _imports(tree) if level or module not in installed}
    found = set()
    with suppress(OSError):  # a folder that may not be listed
        found |= {path.name for path in script.parent.iterdir() if path.stem in imported and _is_module(path)}
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    found |= {text for text in texts if _is_beside(script, text)}
    return sorted(found)


def _travels_alone(names: list[str]) -> str:
    return f"only the script itself goes with a task, not what lies beside it ({', '.join(names)})"


def _tree(script: Path) -> ast.Module:
    try:
        return ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):  # said elsewhere
        return ast.Module([], [])


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The first part of what is imported, and how many levels up it lies."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0], node.level


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" if path.is_file() else any(path.glob("*.py"))


def _is_beside(script: Path, text: str) -> bool:
    if not text.strip("./") or len(text) > 200 or "\n" in text or "\0" in text or Path(text).is_absolute():
        return False
    path = script.parent / text
    with suppress(OSError):  # in a folder that may not be looked into
        return path.exists() and path.resolve() != script.resolve()
    return False
