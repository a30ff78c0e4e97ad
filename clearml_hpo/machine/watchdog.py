"""Ends processes whose starter died: ``python -m clearml_hpo.machine.watchdog``, told through its standard input.

The pipe ends when the starter does, kill -9 included; the sessions that it has named and not struck off are then
ended, and its folder is removed. Imports little, because every local run has one of these.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from clearml_hpo.machine.processes import ProcessId, end_session, identify

_GRACE_S = 5.0
"""Time between SIGTERM and SIGKILL for the processes of a run that has died."""


class Watchdog:
    """A process beside this one that ends what this one leaves behind."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is removed once this process is gone."""
        self._folder = folder
        self._watched: set[int] = set()
        self._process = self._start()

    def watch(self, leader: int) -> None:
        """From now on the session of this process is not to outlive the caller."""
        self._watched.add(leader)
        self._say(f"+{leader}")

    def forget(self, leader: int) -> None:
        """This session has ended."""
        self._watched.discard(leader)
        self._say(f"-{leader}")

    def close(self) -> None:
        """Ends what is still watched, removes the folder, and then the watchdog itself ends."""
        self._process.communicate()

    def _say(self, word: str) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return
        try:
            pipe.write(f"{word}\n".encode())
            pipe.flush()
        except BrokenPipeError:  # another process has killed it
            self._process.wait()
            self._process = self._start()
            for leader in self._watched:
                self._say(f"+{leader}")

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "clearml_hpo.machine.watchdog", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )


def keep_watch(words: Iterable[str], folder: Path) -> None:
    """Reads ``+pid`` and ``-pid`` until there are no more; ends the sessions that are left, removes ``folder``."""
    watched: dict[int, ProcessId] = {}
    for word in words:
        pid = int(word[1:])
        if word.startswith("+"):
            watched[pid] = identify(pid)
        else:
            watched.pop(pid, None)
    for leader in watched.values():
        end_session(leader, _GRACE_S)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    keep_watch(sys.stdin, Path(sys.argv[1]))
