"""The process of one task: started in a session of its own, read, stopped; never outliving its starter."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from clearml_hpo.backend.codes import LOST
from clearml_hpo.machine.processes import ProcessId, descendants_apart, send, session_members
from clearml_hpo.machine.watchdog import Watchdog
from clearml_hpo.workers.last_line import could_not_log_in, ended_by, last_words, signal_of
from clearml_hpo.workers.programs import Program

GRACE_S = 1.5
"""How long a process may take to end after SIGTERM."""
_READ_BYTES = 512 * 1024
# The shell waits for a word before it becomes the program: should this process die before the watchdog knows of it,
# the pipe ends, and nothing is started.
_GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")


class Process:
    """A running task: the process, its output, its end. Sub-classes differ in how they start it.

    Attributes:
        code: its exit code, negative for a signal; None while it runs.
        pid: leader of its session; None until it is there.
    """

    def __init__(self, log: Path, watchdog: Watchdog) -> None:
        """Creates the file ``log`` for its output."""
        self.code: int | None = None
        self.pid: int | None = None
        self._log = log
        self._watchdog = watchdog
        self._kill_at: float | None = None
        self._detached: list[ProcessId] = []  # what it had started in other sessions when it was to end
        self._offset = self._next_offset = 0
        log.write_bytes(b"")
        self._output = log.open("rb")  # kept open: it can be read when its folder is gone

    def step(self, now: float | None = None) -> None:
        """Notices its end, and kills what it has left running; kills it when its time to end is over."""
        if self.code is not None:
            return
        now = time.monotonic() if now is None else now
        code = self._poll()
        if code is None:
            if self._kill_at is not None and now >= self._kill_at:
                self._signal(signal.SIGKILL)
            return
        self._signal(signal.SIGKILL)
        self.code = code
        self._clean_up()

    def terminate(self) -> None:
        """Ends it within :data:`GRACE_S`: SIGTERM, then SIGKILL."""
        if self.code is None and self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE_S
            self._note_detached()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        if self.code is None:
            self._note_detached()
            self._signal(signal.SIGKILL)
            self._wait()
            self.step()

    def reason(self) -> str:
        """Why it failed."""
        assert self.code is not None
        return reason_of(self.last_output(), self.code)

    def new_output(self) -> str:
        """What was written since the last :meth:`output_taken`: whole lines, at most half a mebibyte."""
        size = self._output.seek(0, os.SEEK_END)
        start = self._offset if self.code is None else max(self._offset, size - _READ_BYTES)
        self._output.seek(start)
        text = self._output.read(_READ_BYTES)
        if self.code is None and len(text) < _READ_BYTES:
            text = text[: text.rfind(b"\n") + 1]
        self._next_offset = start + len(text)
        left_out = f"... {start - self._offset} bytes left out ...\n" if start > self._offset else ""
        return left_out + text.decode(errors="replace")

    def output_taken(self) -> None:
        """Notes that what :meth:`new_output` returned last has arrived."""
        self._offset = self._next_offset

    def last_output(self, bytes_: int = 64 * 1024) -> str:
        """The end of all that was written."""
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - bytes_))
        return self._output.read().decode(errors="replace")

    def close(self) -> None:
        """Closes the file of its output."""
        self._output.close()

    def _poll(self) -> int | None:
        """Its exit code; None while it runs."""
        raise NotImplementedError

    def _wait(self) -> None:
        """Waits for its end, after it was killed."""
        raise NotImplementedError

    def _clean_up(self) -> None:
        """Cleans up: nothing of it runs any more."""
        if self.pid is not None:
            self._watchdog.forget(self.pid)

    def _members(self) -> Collection[int]:
        """The pids of its session, of all process groups in it."""
        return session_members(self.pid) if self.pid is not None else ()

    def _note_detached(self) -> None:
        """Notes its children in other sessions: once it has ended, nothing tells that they were its own."""
        if self.pid is not None:
            self._detached = list({*self._detached, *descendants_apart(self.pid)})

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        for process in self._detached:
            send(process, number)


class TaskProcess(Process):
    """A program in a new process."""

    def __init__(self, program: Program, environ: Mapping[str, str], log: Path, watchdog: Watchdog) -> None:
        """Starts it, its output going to ``log``."""
        super().__init__(log, watchdog)
        self._process = start(program, environ, log, watchdog)
        self.pid = self._process.pid

    def _poll(self) -> int | None:
        return self._process.poll()

    def _wait(self) -> None:
        self._process.wait()


class AgentProcess(TaskProcess):
    """A ``clearml-agent execute``; its exit code contains the signal that ended its script."""

    def _poll(self) -> int | None:
        code = super()._poll()
        return -signal_of(code) or code if code is not None else None


def start(program: Program, environ: Mapping[str, str], log: Path, watchdog: Watchdog) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, once the watchdog knows of it."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_GATE, *program.command],
            cwd=program.folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    watchdog.watch(process.pid)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as gate:
        gate.write(b"go\n")
    return process


def reason_of(output: str, code: int) -> str:
    """Why a program failed, unless it was to: its signal, else its last traceback's exception, else its last line."""
    if code == -signal.SIGTERM:
        return f"{LOST} {ended_by(-code)}"  # from a batch system or the machine's end, which leave nothing else running
    if code < 0:
        return ended_by(-code)
    words = last_words(output)
    whose = f"{LOST} " if could_not_log_in(words) else ""  # not the script's fault
    return f"{whose}{words or 'no output'} (exit code {code})"
