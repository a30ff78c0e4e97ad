"""The server in this process: one process, three ports, one data directory."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine import settings, signals
from clearml_hpo.machine.settings import is_loopback
from clearml_hpo.server.access_log import AccessLog
from clearml_hpo.server.app import Apps, build
from clearml_hpo.server.connections import PatientProtocol
from clearml_hpo.server.guard import Guard
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
_LOOK_S = 0.5
"""Pause between two looks of a server at its own note and at the processes that need it."""

_log = logging.getLogger(__name__)


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
