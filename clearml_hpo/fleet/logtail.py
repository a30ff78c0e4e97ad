"""What a daemon's log tells: the only thing an unmodified agent lets others see of its loop."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_IDLE = re.compile(r"^No tasks in Queues, sleeping")
# The agent ends the output of a task without a newline, so that the next task's line goes on where that one ended.
_PULLED = re.compile(r"task (?P<task>\S+) pulled from (?P<queue>\S+) by worker ")
_STARTED = re.compile(r"^Running task '(?P<task>[^']+)'")
_DONE = re.compile(r"^DONE: Running task '(?P<task>[^']+)'")
ROTATE_BYTES = 16 * 1024 * 1024
"""An idle agent writes about 100 bytes each time that it looks into its queue."""


@dataclass
class LogTail:
    """Follows one daemon's log.

    Attributes:
        idle: how many times the daemon has found its queues empty; it then sleeps for a poll period.
        task: the task it has pulled and not ended; None between tasks.
        started: whether that task's process was on its way to be started.
    """

    path: Path
    idle: int = 0
    task: str | None = None
    started: bool = False
    _offset: int = 0
    _rest: bytes = field(default=b"", repr=False)

    def read(self) -> None:
        """Takes in what was written since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._take(line.decode(errors="replace"))

    def forget(self) -> None:
        """The daemon is dead, another will write to the same file."""
        self.idle, self.task, self.started, self._rest = 0, None, False, b""

    def skip(self) -> None:
        """Begins at the end of what is there."""
        self._offset = self.path.stat().st_size if self.path.exists() else 0

    def rotate(self) -> None:
        """Keeps the log's size bounded: what was written so far moves to ``<name>.1``.

        The daemon goes on writing to the same (now empty) file, which is why it is not renamed.
        """
        if self._offset < ROTATE_BYTES:
            return
        with self.path.open("rb+") as file:
            self.path.with_suffix(self.path.suffix + ".1").write_bytes(file.read())
            file.truncate(0)
        self._offset = 0

    def _take(self, line: str) -> None:
        if _IDLE.match(line):
            self.idle += 1
            self.task, self.started = None, False
        elif pulled := _PULLED.search(line):
            self.task, self.started = pulled["task"], False
        elif (started := _STARTED.match(line)) and started["task"] == self.task:
            self.started = True
        elif (done := _DONE.match(line)) and done["task"] == self.task:
            self.task, self.started = None, False


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a log, without the lines with which a daemon says that its queues are empty."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 256 * 1024))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if not is_idle_noise(line)][-count:]


def is_idle_noise(line: str) -> bool:
    """Whether a line of a daemon's log says only that there was nothing to do."""
    return line.startswith(("No tasks in queue ", "No tasks in Queues, sleeping"))
