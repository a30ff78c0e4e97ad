"""The script of a task whose files travel as an archive: the starter, with a plan for these files."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from clearml_hpo.scripts import starter
from clearml_hpo.scripts.code import Code

_EMPTY = 'PLAN = "{}"\n'
_PLAN = "PLAN = "


def packed_script(code: Code, path: str, digest: str) -> str:
    """The text of the task's script, for an archive of this SHA-256 at ``path`` of the file server."""
    plan = {
        "path": path,
        "digest": digest,
        "words": code.words,
        "directory": code.directory,
        "launcher": [*code.entry.launcher],
        "paths": [*code.paths],
    }
    text = Path(starter.__file__).read_text(encoding="utf-8")
    return text.replace(_EMPTY, f"{_PLAN}{json.dumps(plan)!r}\n", 1)


def plan_of(script: str) -> dict[str, Any] | None:
    """The plan in a task's script; None for any other script."""
    if not script.startswith(f'"""{(starter.__doc__ or "").partition(";")[0]}'):
        return None
    for line in script.splitlines():
        if line.startswith(_PLAN):
            plan: dict[str, Any] = json.loads(ast.literal_eval(line.removeprefix(_PLAN)))
            return plan or None
    return None
