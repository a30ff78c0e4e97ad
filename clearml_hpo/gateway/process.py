"""The process that serves: ``python -m clearml_hpo.gateway.process SOCKET OPTIONS``, started by ``supervisor``."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version

import uvicorn
from starlette.types import ASGIApp

from clearml_hpo.backend.configured import HOW_TO, configured_server
from clearml_hpo.core.errors import ClearmlHpoError, InputError
from clearml_hpo.gateway import state
from clearml_hpo.gateway.app import build_app
from clearml_hpo.gateway.auth import Tokens
from clearml_hpo.gateway.auth.oidc import FILE, read_providers
from clearml_hpo.gateway.db.housekeeping import keep_tidy
from clearml_hpo.gateway.hosting import Hosting
from clearml_hpo.gateway.pages.app import Pages
from clearml_hpo.gateway.redact import guard_logs
from clearml_hpo.gateway.v1.events import Streams
from clearml_hpo.gateway.v1.leases import Leases
from clearml_hpo.gateway.v1.routes import routes
from clearml_hpo.machine import signals
from clearml_hpo.machine.one_write import OneWriteProtocol

UNUSABLE = 2
"""Exit status of a process that cannot serve, and will not if it is started again."""
_DRAIN_S = 40
"""Longest time that open requests have at the end; the longest wait for a trial is 30 s."""
_IDLE_S = 75
"""How long a connection stays open between two requests."""
_LOOK_S = 0.5
"""How often it is looked whether the parent still lives."""
_BACKLOG = 2048  # connections that wait while a process is started anew
_CONNECTIONS = 2000

_log = logging.getLogger("clearml_hpo.gateway")


@dataclass(frozen=True)
class Options:
    """How the gateway serves.

    Attributes:
        database: URL; None: what the environment names, or the file of SQLite in the gateway's folder.
        hopaas: with the routes of Hopaas.
        proxies: addresses, beside loopback, whose ``X-Forwarded-*`` headers are believed.
        log: requests are written to stderr, a line each.
    """

    database: str | None = None
    hopaas: bool = False
    proxies: tuple[str, ...] = ()
    log: bool = False

    def as_json(self) -> str:
        """For the command line of the process."""
        return json.dumps(asdict(self))


class _Server(uvicorn.Server):
    """A server whose signals only end it: uvicorn would raise them again, and nothing would be tidied up."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        """``streams`` end as soon as it ends: they would go on for ever."""
        super().__init__(config)
        self._streams = streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Waits for open requests."""
        self._streams.close()
        await super().shutdown(sockets)

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Has them end it."""
        return signals.handled({number: partial(self.handle_exit, number, None) for number in signals.ENDS})


def web_server(app: ASGIApp, streams: Streams) -> uvicorn.Server:
    """What serves the application, and ends ``streams`` when it ends.

    Its access log is off: it would have whole paths, and so tokens.
    """
    config = uvicorn.Config(
        app,
        http=OneWriteProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    return _Server(config, streams)


def serve(listening: socket.socket, options: Options) -> None:
    """Serves until SIGTERM or SIGINT; what workers have said by then is written, as far as ClearML's server answers.

    Raises:
        InputError, GatewayError: no ClearML server is configured, or the database cannot be used.
    """
    if configured_server() is None:  # what reads it takes a second to import: no first ask is to wait for that
        raise InputError(f"no ClearML server is configured: {HOW_TO}")
    database = state.database(options.database)
    database.open()
    providers = read_providers(state.folder() / FILE)
    hosting = Hosting(database, _log.info)
    pepper = state.pepper()
    tokens = Tokens(database, pepper)
    streams = Streams()
    app = build_app(
        hosting,
        tokens,
        v1=partial(routes, hosting, leases=Leases(pepper), tokens=tokens, streams=streams),
        pages=partial(Pages, hosting, database, tokens, providers=providers, secret=pepper.derive("log-in")),
        version=version("clearml-hpo"),
        hopaas=options.hopaas,
        proxies=frozenset(options.proxies),
    )
    hosting.start()
    server = web_server(app, streams)
    threading.Thread(target=_end_with_parent, args=(server, os.getppid()), daemon=True).start()
    stopped = threading.Event()
    threading.Thread(target=keep_tidy, args=(database, stopped, _log.info), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        stopped.set()
        hosting.stop()
        database.close()


def _end_with_parent(server: uvicorn.Server, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    server.should_exit = True


def main() -> int:
    """The command."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    given = json.loads(sys.argv[2])
    options = Options(**{**given, "proxies": tuple(given["proxies"])})
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    guard_logs()
    _log.setLevel(logging.INFO)
    logging.getLogger("clearml_hpo.gateway.access").setLevel(logging.INFO if options.log else logging.WARNING)
    try:
        serve(listening, options)
    except ClearmlHpoError as error:
        sys.stderr.write(f"error: {error}\n")
        return UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
