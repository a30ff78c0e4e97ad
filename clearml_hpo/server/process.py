"""The server as a process of its own: started, found and stopped from outside."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine.settings import ServerAddress
from clearml_hpo.server.options import DEFAULT, Options
from clearml_hpo.server.state import DataDir, Listening

_POLL_S = 0.05
"""Pause between two looks at a server that starts or ends."""
_NOTED_ANEW_S = 1.5
"""Longest wait for a running server to write a damaged or missing server.json again."""
_MOST_PATIENCE = 20  # times that of a start: a server that works all that time comes to nothing


@dataclass(frozen=True)
class RunningServer:
    """A server that answers."""

    address: ServerAddress
    pid: int
    data_dir: Path


def start(
    data_dir: Path, *, with_parent: bool = False, options: Options = DEFAULT, timeout_s: float = 30
) -> RunningServer:
    """Starts a detached server on ``data_dir`` and waits until it answers; one that already runs is returned.

    Args:
        data_dir: where its keys, database, files and log are; made if missing.
        with_parent: the calling process holds the server, which ends itself when none of its holders is left: all
            have ended, or called :func:`release`. A server that was once started without this stays.
        options: how it is run, if it does not run yet.
        timeout_s: how long to wait for the next sign of progress.

    Raises:
        ServerError: if it does not come up; the message has the end of its log. Or if one runs without this web app.
    """
    data = DataDir(data_dir.absolute())
    data.make()
    if with_parent:
        with data.holds.agreed():
            data.holds.take()
    try:
        running = _started(data, with_parent, options, timeout_s)
        _check_serves(data, options.webapp)
        return running
    except BaseException:
        data.holds.drop()
        raise


def _check_serves(data: DataDir, webapp: Path | None) -> None:
    listening = data.listening()
    if webapp is not None and listening is not None and listening.webapp != str(webapp.absolute()):
        what = f"with the web app of {listening.webapp}" if listening.webapp else "with its own pages"
        raise ServerError(
            f"the server on {data.path} runs already, {what}; to have it serve {webapp}, stop it first: "
            "clearml-hpo server stop"
        )


def _has_ended(child: subprocess.Popen[bytes] | None) -> bool:
    """True also if it was never started."""
    return child is None or child.poll() is not None


def _started(data: DataDir, with_parent: bool, options: Options, timeout_s: float) -> RunningServer:
    child: subprocess.Popen[bytes] | None = None
    progress = _Progress(data, timeout_s)
    while progress.is_made(child):
        running = status(data.path)
        if running is not None and (with_parent or data.keep()):
            return running
        # Where the directory is locked, another server comes up, and will answer, or is about to end.
        if _has_ended(child) and not data.is_locked():
            if child is not None:
                raise ServerError(progress.why(f"the server on {data.path} ended at once"))
            child = _launch(data, with_parent, options)
        time.sleep(_POLL_S)
    if child is not None and child.poll() is None:
        child.kill()
        child.wait()
    raise ServerError(progress.why(f"the server on {data.path} does not answer, and is stuck for {timeout_s:g} s"))


class _Progress:
    """Whether a server that starts comes nearer to answering: on a slow machine that takes as long as it takes."""

    def __init__(self, data: DataDir, patience_s: float) -> None:
        self._data = data
        self._patience_s = patience_s
        self._log_before = data.log_size
        self._ends_at = time.monotonic() + _MOST_PATIENCE * patience_s
        self._until, self._seen = 0.0, object()

    def is_made(self, child: subprocess.Popen[bytes] | None) -> bool:
        """Whether within the patience the process has worked, its files have grown, or another has taken its place."""
        now, listening = time.monotonic(), self._data.listening()
        is_up = child is not None and listening is not None and listening.pid == child.pid
        # Once it listens it is asked again and again, and works on that.
        seen = (child and child.pid, listening, None if is_up else (_cpu_s(child), self._data.log_size))
        if seen != self._seen:
            self._until, self._seen = now + self._patience_s, seen
        return now < min(self._until, self._ends_at)

    def why(self, what: str) -> str:
        """What the server has said since: its errors, else ``what`` and the end of its log."""
        said = self._data.log_tail(since=self._log_before)
        errors = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
        return "\n".join(errors) or f"{what}:\n{said}"


def _cpu_s(child: subprocess.Popen[bytes] | None) -> float:
    """Processor time, in steps of a tenth: a process that waits without end takes next to none."""
    try:
        times = psutil.Process(child.pid).cpu_times() if child else None
    except psutil.NoSuchProcess:
        return 0.0
    return round(times.user + times.system, 1) if times else 0.0


def _launch(data: DataDir, with_parent: bool, options: Options) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "clearml_hpo", "server", "run", "--data", str(data.path), *options.arguments()]
    with data.log.open("ab") as log:
        return subprocess.Popen(
            [*command, "--with-parent"] if with_parent else command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def release(data_dir: Path) -> bool:
    """Gives up what :func:`start` with ``with_parent`` took: the caller's hold on the server of ``data_dir``.

    Stops the server if no other process holds it, and returns whether it did; a server that was started to stay stays.
    """
    data = DataDir(data_dir.absolute())
    if not data.path.is_dir():
        return False
    with data.holds.agreed():
        data.holds.drop()
        listening = data.listening()
        if listening is None or not listening.held or data.holds.any():
            return False
        return stop(data.path)


def status(data_dir: Path) -> RunningServer | None:
    """The server that runs on ``data_dir``, or None."""
    data = DataDir(data_dir.absolute())
    listening = data.listening() or _noted_anew(data)
    if listening is None or not _alive(listening.pid):
        return None
    address = listening.address(data.credentials())
    # A login proves that the process is a server, and this directory's: a number may have come to another process.
    if not (_logs_in(address) and _answers(address.files) and _answers(address.web)):
        return None
    return RunningServer(address, listening.pid, data.path)


def _noted_anew(data: DataDir) -> Listening | None:
    """What a server notes again that runs, and whose note is damaged or gone."""
    until = time.monotonic() + _NOTED_ANEW_S
    while data.is_served and time.monotonic() < until:
        if found := data.listening():
            return found
        time.sleep(_POLL_S)
    return None


def stop(data_dir: Path, timeout_s: float = 10) -> bool:
    """Stops the server on ``data_dir``, by force if it takes too long; returns whether one was running.

    Other processes that use it lose it; :func:`release` asks them first.
    """
    DataDir(data_dir.absolute()).holds.drop()
    running = status(data_dir)
    if running is None:
        return False
    for sign, patience in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _alive(running.pid):
                return True
            time.sleep(_POLL_S)
    raise ServerError(f"the server (process {running.pid}) on {data_dir} does not end")


def _alive(pid: int) -> bool:
    if pid <= 0:  # to the kernel, these are groups of processes
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if it is a child of ours that has ended, it is gone now
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # of another process that does not look after it
    except psutil.NoSuchProcess:
        return False


def _logs_in(address: ServerAddress) -> bool:
    pair = f"{address.access_key}:{address.secret_key}".encode()
    header = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return _answers(f"{address.api}/auth.login", header)


def _answers(url: str, headers: dict[str, str] | None = None) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return headers is None and error.code == 401  # the file server answers, but not without a token
    except (OSError, ValueError):
        return False
