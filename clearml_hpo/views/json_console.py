"""Output for log collectors: a JSON object a line."""

from __future__ import annotations

import io
import json
import time
from typing import Any, Literal

from rich.console import Console

from clearml_hpo.core.notes import as_note

LogFormat = Literal["text", "json"]
_WIDTH = 120


class JsonConsole(Console):
    """Prints an object with ``time`` (UTC), ``level``, ``message`` and the note's ids for all that is printed to it."""

    def __init__(self, *, stderr: bool = False) -> None:
        """A console that no view takes for a terminal."""
        super().__init__(stderr=stderr, force_terminal=False)

    def print(self, *objects: Any, **_: Any) -> None:
        """Prints texts and notes; tables as the text that a pipe would get."""
        for found in objects:
            note = as_note(found if isinstance(found, str) else _drawn(found))
            message = note.strip("\n")
            if message:
                now = time.time()
                stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
                line = {"time": stamp, "level": note.level, "message": message, **note.ids}
                self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
                self.file.flush()


def console_for(log_format: LogFormat, *, stderr: bool = False) -> Console:
    """The console of a command: for users, or for log collectors."""
    return JsonConsole(stderr=stderr) if log_format == "json" else Console(stderr=stderr)


def _drawn(renderable: Any) -> str:
    plain = Console(file=io.StringIO(), width=_WIDTH, color_system=None, force_jupyter=False)
    plain.print(renderable)
    text: str = plain.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())
