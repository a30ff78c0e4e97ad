"""``clearml-hpo dashboard``."""

from __future__ import annotations

import socket
import sys
import webbrowser
from contextlib import AbstractContextManager, nullcontext

import click

from clearml_hpo.cli.connection import server_of_studies
from clearml_hpo.cli.exits import Exit
from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import settings

_PORT = 8090


@click.command()
@click.option("--port", default=_PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--open/--no-open", "opens", default=False, help="Open it in the browser.")
@click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")
def dashboard(port: int, opens: bool, local: bool) -> None:
    """Show all studies in a browser, live, and steer them there; Ctrl-C ends the dashboard alone.

    It reads the ClearML server that is configured, with your credentials, and listens on this machine only. The printed
    link logs you in. From another machine: ssh -L 8090:localhost:8090 HOST.

    \b
    Examples:
      clearml-hpo dashboard --open
      clearml-hpo dashboard --port 9000
      clearml-hpo dashboard --local
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()  # a browser that opens before the server is up waits
        except OSError as error:
            raise InputError(f"port {port} cannot be used ({error.strerror}); try --port 0") from None
        with server_of_studies(local=local), _noted(listening.getsockname()[1]):
            _serve(listening, opens)


def _noted(port: int) -> AbstractContextManager[None]:
    """Has the pages of this machine's embedded server lead to this dashboard, if it shows that server's studies."""
    from clearml_hpo.backend.configured import configured_server
    from clearml_hpo.server import process
    from clearml_hpo.server.dashboards import noted

    data = settings.load().home / "server"
    running, server = process.status(data), configured_server()
    is_its = running is not None and server is not None and running.address.web == server.address.web
    return noted(data, port) if is_its else nullcontext()


def _serve(listening: socket.socket, opens: bool) -> None:
    import uvicorn

    from clearml_hpo.dashboard import Dashboard
    from clearml_hpo.dashboard.access import Access

    access = Access()
    app = Dashboard(access)
    listening.listen()  # before anybody learns of the address
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/?key={access.key}"
    click.echo(f"dashboard: {url}")
    sys.stdout.flush()
    if opens:
        webbrowser.open(url)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, ws="none"))
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        click.echo("the dashboard has ended; studies go on", err=True)
        sys.exit(Exit.INTERRUPTED)
