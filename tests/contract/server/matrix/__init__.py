"""How ClearML's server answers thousands of calls, and the answers of another server beside that.

``matrix.py`` makes the calls and prints a JSON line a case; ``expected.jsonl`` is what ClearML's server 2.3.0 printed.
Both are recordings: they are replaced as a whole, never edited. ``differences.txt`` says what this project's server
answers otherwise, and why.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_TIMEOUT_S = 900
Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A case, and whether code, and code and state, are those of ClearML's server."""

    case: str
    same_code: bool
    same_state: bool
    is_accepted: bool
    """It is accepted, and ClearML's server refuses it."""


def compared(section: str, api: str, access_key: str, secret_key: str) -> list[Comparison]:
    """Makes the calls of a section against a server, and compares its answers with those of ClearML's."""
    command = [sys.executable, str(_FOLDER / "matrix.py"), api, access_key, secret_key, section]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0 and "ended early" not in done.stderr, done.stderr
    answers = _by_case(map(json.loads, done.stdout.splitlines()))
    recorded = (json.loads(line) for line in (_FOLDER / "expected.jsonl").read_text(encoding="utf-8").splitlines())
    expected = _by_case(row for row in recorded if row["case"].startswith(f"{section}/"))
    return [
        _compared(case, row, answers.get(case, {"code": "no answer"}))
        for case, row in expected.items()
        if "standin" not in row
    ]


def _by_case(rows: Iterable[Row]) -> dict[str, Row]:
    """Rows by their case, which is numbered where it comes again."""
    seen: Counter[str] = Counter()
    found = {}
    for row in rows:
        seen[row["case"]] += 1
        number = seen[row["case"]]
        found[row["case"] if number == 1 else f"{row['case']} #{number}"] = row
    return found


def _compared(case: str, expected: Row, answer: Row) -> Comparison:
    is_refused = isinstance(answer["code"], int) and answer["code"] >= 400
    same = all(expected.get(name) == answer.get(name) for name in ("code", "sub"))
    if expected["code"] == 500 and is_refused:  # that server fell over an odd request: any refusal will do
        return Comparison(case, True, True, False)
    state = same and all(expected.get(name) == answer.get(name) for name in ("answer", "after"))
    return Comparison(case, same, state, answer["code"] == 200 != expected["code"])


def known_differences() -> Iterator[tuple[re.Pattern[str], str]]:
    """Regular expressions of cases that are answered otherwise, each with the reason."""
    reason = ""
    for line in (_FOLDER / "differences.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            reason = line.removeprefix("#").strip()
        elif line.strip():
            yield re.compile(line), reason
