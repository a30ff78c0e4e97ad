"""The server as a process: run it here, or start, find and stop a detached one."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread
import psutil
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine import settings, signals
from clearml_hpo.machine.settings import ServerAddress
from clearml_hpo.server.access_log import AccessLog
from clearml_hpo.server.app import Apps, build
from clearml_hpo.server.connections import PatientProtocol
from clearml_hpo.server.guard import Guard
from clearml_hpo.server.hosts import is_loopback
from clearml_hpo.server.options import DEFAULT, Options
from clearml_hpo.server.stale_tasks import StaleTaskWatchdog
from clearml_hpo.server.state import DataDir, Listening
from clearml_hpo.server.webapp import WebApp

# ClearML's own ports for API, files and web.
PORTS = (8008, 8081, 8080)
_THREADS = 8
_CONNECTIONS = 4096  # a client may keep several, and there may be a thousand clients
_OTHER_FILES = 200
_FEWEST_FILES = 100  # half of them connections, half the database in eight threads
_POLL_S = 0.05
"""Pause between two looks at a server that starts or ends."""
_LOOK_S = 0.5
"""Pause between two looks of a server at its own note and at the processes that need it."""
_NOTED_ANEW_S = 3 * _LOOK_S
"""Longest wait for a running server to write a damaged or missing server.json again."""
_MOST_PATIENCE = 20  # times that of a start: a server that works all that time comes to nothing


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunningServer:
    """A server that answers."""

    address: ServerAddress
    pid: int
    data_dir: Path


# --- from outside -----------------------------------------------------------------------------------------------------


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


# --- the process itself -----------------------------------------------------------------------------------------------


def run(
    data_dir: Path,
    *,
    held: bool = False,
    ports: Sequence[int] | None = None,
    options: Options = DEFAULT,
) -> None:
    """Serves in the foreground until SIGINT or SIGTERM.

    Args:
        data_dir: where keys, database and files are; made if missing.
        held: end when no process holds this server, as those do that called :func:`start` with ``with_parent``.
        ports: of API, files and web; 0 takes a free one. Default: those of the last run, so that links stay valid,
            else ClearML's own, and a free one for each that is taken.
        options: how it is run.

    Raises:
        ServerError: if another server runs on ``data_dir``, or the address cannot be used.
    """
    data = DataDir(data_dir.absolute())
    data.make()
    with data.locked():
        os.umask(0o077)  # what is made from now on is the owner's alone
        last = data.listening()
        sockets = _listen(options.host, ports or (last.ports if last else PORTS), strict=ports is not None)
        apps = build(
            data.path,
            data.credentials(),
            max_upload=options.max_file_size,
            allow_remote=options.allow_remote,
            calls=settings.load().call_log,
        )
        try:
            api, files, web = (each.getsockname()[1] for each in sockets)
            shown = str(options.webapp.absolute()) if options.webapp is not None else ""
            data.note(noted := Listening(os.getpid(), options.host, api, files, web, held, shown))
            with _access_log(data, options) as log, _watched(apps, options):
                guarded = (
                    Guard(apps.api, "api", log, options.allow_remote),
                    Guard(apps.files, "files", log, options.allow_remote),
                    Guard(_web(apps, options, sockets), "web", log, any_host=True),  # what is there sees to it itself
                )
                by_port = _ByPort(dict(zip((api, files, web), guarded, strict=True)))
                _serve(by_port, sockets, data, noted)
        finally:
            apps.store.close()


def _web(apps: Apps, options: Options, sockets: Sequence[socket.socket]) -> ASGIApp:
    """What is served at the web port: the server's own pages, or ClearML's web app."""
    if options.webapp is None:
        return apps.web
    (_, api), (_, files), (address, _) = (each.getsockname()[:2] for each in sockets)
    return WebApp(
        options.webapp.absolute(),
        apps,
        {"apiServer": api, "filesServer": files},
        by_name=is_loopback(address) and not options.allow_remote,
        any_host=options.allow_remote,
    )


@contextlib.contextmanager
def _access_log(data: DataDir, options: Options) -> Iterator[AccessLog | None]:
    if not options.access_log:
        yield None
        return
    with contextlib.closing(AccessLog(data.path / "access.log")) as log:
        yield log


def _watched(apps: Apps, options: Options) -> contextlib.AbstractContextManager[None]:
    if not options.task_timeout_s:
        return contextlib.nullcontext()
    return StaleTaskWatchdog(apps.store.lifecycle, apps.store.clock, options.task_timeout_s).looking()


def _listen(host: str, ports: Sequence[int], *, strict: bool) -> list[socket.socket]:
    """One socket per wanted port; a port that is taken is replaced by a free one unless ``strict``."""
    sockets = []
    for port in ports:
        try:
            sockets.append(_bound(host, port))
        except OSError as error:
            if strict:
                raise ServerError(f"cannot listen on {host}:{port}: {error.strerror}") from None
            try:
                sockets.append(_bound(host, 0))
            except OSError:
                raise ServerError(f"cannot listen on {host}: {error.strerror}") from None
    return sockets


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio sets TCP_NODELAY only on sockets that say they are TCP, and without it the kernel
    # holds back every answer for some 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1024)
    except BaseException:
        sock.close()
        raise
    return sock


class _ByPort:
    """Three applications behind one server process: the port says which."""

    def __init__(self, apps: Mapping[int, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._apps[scope["server"][1]](scope, receive, send)


class _Server(uvicorn.Server):
    """A server whose signals only end it: uvicorn would raise them again, and nothing would be tidied up."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return signals.handled({number: partial(self.handle_exit, number, None) for number in signals.ENDS})


def _serve(app: ASGIApp, sockets: list[socket.socket], data: DataDir, noted: Listening) -> None:
    connections = _most_connections()
    config = uvicorn.Config(
        app,
        http=type("Protocol", (PatientProtocol,), {"most_idle": connections // 2}),
        limit_concurrency=connections,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,
    )
    server = _Server(config)
    threading.Thread(target=_look_after, args=(server, data, noted), daemon=True).start()

    async def main() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        await server.serve(sockets)

    anyio.run(main)


def _most_connections() -> int:
    """As many as clients may need, and this process may have open beside its files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FEWEST_FILES:
        raise ServerError(f"this process may have {hard} files open; the server needs {_FEWEST_FILES} (ulimit -n)")
    wanted = _CONNECTIONS + _OTHER_FILES
    soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(_CONNECTIONS, soft - min(_OTHER_FILES, soft // 2))


def _look_after(server: uvicorn.Server, data: DataDir, noted: Listening) -> None:
    """Ends a server that no process holds, and notes anew where a server listens whose note is gone."""
    try:
        while not data.end_unless_held():
            found = data.listening()
            if found is None:
                _log.warning("server.json was damaged or gone; it is written anew")
                data.note(noted)
            noted = found or noted
            time.sleep(_LOOK_S)
    except OSError:
        if not noted.held:  # the directory is gone, or full
            return
    server.should_exit = True
