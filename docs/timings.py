"""Writes ``docs/timings.md``: how long anything waits, as the code has it.

    make docs

A timing is a constant of a module whose name ends in ``_S``; the text under it says what it bounds. A test fails where
the page is not what this writes, or a constant has no such text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).with_name("timings.md")
PACKAGE = Path(__file__).parents[1] / "clearml_hpo"

_HEAD = """\
# Timings

Written by `make docs`; a test keeps it true. Times that a user sets are in [study_file.md](study_file.md) and in
`clearml-hpo COMMAND --help`.
"""


class Timing(NamedTuple):
    """A constant in seconds; ``meaning`` is empty if nothing says what it bounds."""

    room: str
    name: str
    seconds: str
    file: str
    meaning: str


def timings() -> Iterator[Timing]:
    """All of them, by file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE)
        body = ast.parse(path.read_text(encoding="utf-8")).body
        known: dict[str, object] = {}
        for line, below in zip(body, [*body[1:], None], strict=True):
            if not isinstance(line, (ast.Assign, ast.AnnAssign)) or line.value is None:
                continue
            name = ast.unparse(line.target if isinstance(line, ast.AnnAssign) else line.targets[0])
            if name.endswith("_S"):
                known[name] = eval(ast.unparse(line.value), {"__builtins__": {}}, known)
                yield Timing(file.parts[0], name, _seconds(known[name]), str(file), _text(below))


def _seconds(value: object) -> str:
    return ", ".join(f"{each:,g}" for each in (value if isinstance(value, tuple) else (value,)))


def _text(below: ast.stmt | None) -> str:
    """What the text under a constant says, in one line."""
    is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    return " ".join(str(ast.literal_eval(below.value)).split()) if is_text else ""


def page() -> str:
    """The whole page. Raises ValueError: constants without a meaning, with their files."""
    found = list(timings())
    if missing := [f"{timing.file}: {timing.name}" for timing in found if not timing.meaning]:
        raise ValueError(f"nothing under these constants says what they bound: {', '.join(missing)}")
    tables = [_table(room, list(of_room)) for room, of_room in groupby(found, lambda timing: timing.room)]
    return "\n".join([_HEAD, *tables])


def _table(room: str, found: list[Timing]) -> str:
    rows = [f"| `{each.name}` | {each.seconds} | `{each.file}` | {each.meaning} |" for each in found]
    return "\n".join([f"## {room}", "", "| constant | seconds | file | meaning |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
