"""The server as a process of its own: started, found and stopped from outside."""

from __future__ import annotations

import base64
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine import background
from clearml_hpo.machine.settings import ServerAddress
from clearml_hpo.server.options import DEFAULT, Options
from clearml_hpo.server.state import DataDir, Listening

_NOTED_ANEW_S = 1.5
"""Longest wait for a running server to write a damaged or missing server.json again."""


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


def _started(data: DataDir, with_parent: bool, options: Options, timeout_s: float) -> RunningServer:
    child: subprocess.Popen[bytes] | None = None
    progress = background.Progress(data.log, timeout_s, data.listening)
    while progress.is_made(child):
        running = status(data.path)
        if running is not None and (with_parent or data.keep()):
            return running
        # Where the directory is locked, another server comes up, and will answer, or is about to end.
        if background.has_ended(child) and not data.is_locked():
            if child is not None:
                raise ServerError(progress.why(f"the server on {data.path} ended at once"))
            child = _launch(data, with_parent, options)
        time.sleep(background.POLL_S)
    if child is not None and child.poll() is None:
        child.kill()
        child.wait()
    raise ServerError(progress.why(f"the server on {data.path} does not answer, and is stuck for {timeout_s:g} s"))


def _launch(data: DataDir, with_parent: bool, options: Options) -> subprocess.Popen[bytes]:
    command = ["server", "run", "--data", str(data.path), *options.arguments()]
    return background.launch([*command, "--with-parent"] if with_parent else command, data.log)


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
    if listening is None or not background.is_running(listening.pid):
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
        time.sleep(background.POLL_S)
    return None


def stop(data_dir: Path, timeout_s: float = 10) -> bool:
    """Stops the server on ``data_dir``, by force if it takes too long; returns whether one was running.

    Other processes that use it lose it; :func:`release` asks them first.
    """
    DataDir(data_dir.absolute()).holds.drop()
    running = status(data_dir)
    if running is None:
        return False
    if background.end(running.pid, timeout_s):
        return True
    raise ServerError(f"the server (process {running.pid}) on {data_dir} does not end")


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
