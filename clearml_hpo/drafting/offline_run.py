"""Runs a script in ClearML's offline mode until it has reported its scalars once.

``python offline_run.py RESULT.json TARGET [ARGUMENT...]``; TARGET is a file, or ``-m:package.module``. Imports nothing
of this package: it is the script's process.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

_SECONDS_OF_REPORTS = 3.0


def main() -> None:
    """Runs the script; ends its process at the first scalar that comes a second time."""
    result, target, *arguments = sys.argv[1:]
    sys.path[0] = str(Path.cwd() if target.startswith("-m:") else Path(target).parent)
    from clearml import Logger, Task

    names: dict[str, float] = {}
    tasks: list[Any] = []

    def note(title: str, series: str) -> None:
        name = f"{title}/{series}"
        began = min(names.values(), default=time.monotonic())
        if name in names or time.monotonic() - began > _SECONDS_OF_REPORTS:
            finish()
        names[name] = time.monotonic()
        tasks.append(Task.current_task())  # Hydra closes it when the script's function has ended

    def finish() -> None:
        task = next(filter(None, [*tasks, Task.current_task()]), None)
        found: dict[str, Any] = {"scalars": sorted(names)}
        data = {} if task is None else task.data.to_dict()
        found |= {key: data.get(key) or {} for key in ("hyperparams", "configuration")}
        Path(result).write_text(json.dumps(found), encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def report_scalar(self: Any, title: str, series: str, value: float, iteration: int | None = None) -> None:
        note(title, series)

    Logger.report_scalar = report_scalar
    sys.argv = [target, *arguments]
    try:
        if target.startswith("-m:"):
            runpy.run_module(target.removeprefix("-m:"), run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(target, run_name="__main__")
    except SystemExit as left:
        if left.code not in (None, 0):
            raise
    finish()


if __name__ == "__main__":
    main()
