"""A program of ours in the background: launched, waited for as long as it gets on, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import psutil

POLL_S = 0.05
"""Pause between two looks at a program that starts or ends."""
_MOST_PATIENCE = 20  # times that of a start: a program that works all that time comes to nothing
_KILLED_S = 5.0
"""Longest wait for the end of a process that was killed."""


class Noted(Protocol):
    """What a program that serves has noted of itself."""

    @property
    def pid(self) -> int:
        """Its process."""


def launch(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a command of ``clearml-hpo`` in a session of its own; what it says is added to ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "clearml_hpo", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def has_ended(child: subprocess.Popen[bytes] | None) -> bool:
    """True also if it was never started."""
    return child is None or child.poll() is not None


def is_running(pid: int) -> bool:
    """Whether a process has this number; one that has ended and that nobody has looked after does not count."""
    if pid <= 0:  # to the kernel, these are groups of processes
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if it is a child of ours that has ended, it is gone now
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # of another process that does not look after it
    except psutil.NoSuchProcess:
        return False


def end(pid: int, patience_s: float) -> bool:
    """Ends a process by SIGTERM, by force if that takes longer than the patience; whether it is gone."""
    for sign, seconds in ((signal.SIGTERM, patience_s), (signal.SIGKILL, _KILLED_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not is_running(pid):
                return True
            time.sleep(POLL_S)
    return False


class Progress:
    """Whether a program that starts comes nearer to answering: on a slow machine that takes as long as it takes."""

    def __init__(self, log: Path, patience_s: float, noted: Callable[[], Noted | None]) -> None:
        """``noted`` is what the program that runs has noted of itself, or what an earlier one has left."""
        self._log = log
        self._patience_s = patience_s
        self._noted = noted
        self._log_before = _size(log)
        self._ends_at = time.monotonic() + _MOST_PATIENCE * patience_s
        self._until, self._seen = 0.0, object()

    def is_made(self, child: subprocess.Popen[bytes] | None) -> bool:
        """Whether within the patience the process has worked, its files have grown, or another has taken its place."""
        now, noted = time.monotonic(), self._noted()
        is_up = child is not None and noted is not None and noted.pid == child.pid
        # Once it listens it is asked again and again, and works on that.
        seen = (child and child.pid, noted, None if is_up else (_cpu_s(child), _size(self._log)))
        if seen != self._seen:
            self._until, self._seen = now + self._patience_s, seen
        return now < min(self._until, self._ends_at)

    def why(self, what: str) -> str:
        """What the program has said since: its errors, else ``what`` and the end of its log."""
        said = _tail(self._log, self._log_before)
        errors = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
        return "\n".join(errors) or f"{what}:\n{said}"


def _cpu_s(child: subprocess.Popen[bytes] | None) -> float:
    """Processor time, in steps of a tenth: a process that waits without end takes next to none."""
    try:
        times = psutil.Process(child.pid).cpu_times() if child else None
    except psutil.NoSuchProcess:
        return 0.0
    return round(times.user + times.system, 1) if times else 0.0


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _tail(log: Path, since: int, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_bytes()[since:].decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
