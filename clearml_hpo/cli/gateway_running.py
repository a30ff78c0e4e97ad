"""``clearml-hpo gateway run``, ``start``, ``stop``, ``status`` and ``login-link``."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clearml_hpo.cli.connection import is_embedded, say
from clearml_hpo.cli.formats import Out, moment, prints
from clearml_hpo.cli.gateway_database import PROJECT, check_extra, database_option, me, open_database
from clearml_hpo.cli.gateway_tokens import make_token
from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.machine import settings

if TYPE_CHECKING:
    from clearml_hpo.gateway.db import Database
    from clearml_hpo.gateway.running import RunningGateway

_Command = TypeVar("_Command", bound=Callable[..., Any])

PORT = 8123
"""Where a gateway listens, unless it is told otherwise."""
_BACKLOG = 2048
_FIRST_S = 30 * 86_400.0
"""Validity of the token that the first start makes."""
_EXAMPLE = '{"hopaas_config": {"title": "example"}, "x": "optuna#uniform(0, 1)"}'


def _serving_options(command: _Command) -> _Command:
    """The options of ``run`` and ``start``: how the gateway serves."""
    for option in reversed(
        (
            click.option(
                "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
            ),
            click.option(
                "--host",
                default="127.0.0.1",
                show_default=True,
                help="Address to listen on; others need TLS before it.",
            ),
            click.option("--hopaas", is_flag=True, help="Also serve clients of Hopaas."),
            click.option(
                "--proxy",
                "proxies",
                multiple=True,
                metavar="ADDRESS",
                help="A proxy on another machine, to be believed.",
            ),
            click.option(
                "--local", is_flag=True, help="Use the embedded ClearML server, also if another one is configured."
            ),
            click.option("--log", is_flag=True, help="Write a line for each request, without its token."),
            database_option,
        )
    ):
        command = option(command)
    return command


@click.command()
@_serving_options
@click.option("--detached", is_flag=True, hidden=True, help="Print no token: the output is a file.")
def run(
    port: int,
    host: str,
    hopaas: bool,
    proxies: Sequence[str],
    local: bool,
    log: bool,
    database: str | None,
    detached: bool,
) -> None:
    """Hand out trials of studies over HTTP; Ctrl-C ends it, and running trials go on.

    Their workers report to the next gateway on the same database. Without a configured ClearML server it starts the
    embedded one. The first start makes a token and prints it, this one time. Each start prints a link that logs a
    browser in, see `gateway login-link`.

    \b
    Examples:
      clearml-hpo gateway run
      clearml-hpo gateway run --hopaas --port 8200
      CLEARML_HPO_GATEWAY_DATABASE=postgresql://gateway:...@db/hpo clearml-hpo gateway run
    """
    check_extra()
    from clearml_hpo.gateway import running
    from clearml_hpo.gateway.process import Options
    from clearml_hpo.gateway.supervisor import supervise

    with running.only_one() as note, _listening(host, port) as (listening, url), contextlib.ExitStack() as stack:
        with open_database(database) as opened:
            name = opened.name  # what is wrong with it is said before anything starts
        note(url=url, database=name, option=database, server=_use_server(stack, local=local))
        click.echo(f"gateway: {url}")
        if not detached:
            with open_database(database) as opened:
                _welcome(opened, url, hopaas=hopaas)
        sys.stdout.flush()
        status = supervise(listening, Options(database, hopaas, tuple(proxies), log), say)
    if status == 0:
        say("the gateway has ended; running trials go on, and their workers report to the next one")
    sys.exit(status)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens, and its URL."""
    is_v6 = ":" in host
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(_BACKLOG)
        except OSError as error:
            raise InputError(f"{host}:{port} cannot be used ({error.strerror}); try --port 0") from None
        shown = f"[{host}]" if is_v6 else host
        yield listening, f"http://{shown}:{listening.getsockname()[1]}"


def _use_server(stack: contextlib.ExitStack, *, local: bool) -> str:
    """Has this process, and the one that serves, use a ClearML server; its web address."""
    from clearml_hpo.backend.configured import configured_server

    if is_embedded(local=local):
        from clearml_hpo.driving.local import embedded_server

        settings.use_server(stack.enter_context(embedded_server(settings.load(), say)))
    server = configured_server()
    assert server is not None
    return server.address.web


@click.command()
@_serving_options
def start(
    port: int, host: str, hopaas: bool, proxies: Sequence[str], local: bool, log: bool, database: str | None
) -> None:
    """Start the gateway in the background; one that already runs is left as it is.

    As `gateway run`, without a terminal. It prints the same link, and at the first start the same token.

    \b
    Examples:
      clearml-hpo gateway start
      clearml-hpo gateway start --hopaas --port 8200
    """
    with open_database(database):
        pass  # what is wrong with it is said here, not in a log
    from clearml_hpo.gateway import running

    flags = {"--hopaas": hopaas, "--local": local, "--log": log}
    given = ["--port", str(port), "--host", host, *(flag for flag, is_given in flags.items() if is_given)]
    given += [word for proxy in proxies for word in ("--proxy", proxy)]
    found = running.start([*given, *(("--database", database) if database is not None else ())])
    click.echo(f"running (process {found.pid}), log in {running.log_file()}")
    click.echo(f"gateway: {found.url}")
    with open_database(found.option) as opened:
        _welcome(opened, found.url, hopaas=hopaas)


@click.command()
def stop() -> None:
    """Stop the gateway; running trials go on, and their workers report to the next one.

    It hands out no more trials, answers open requests, and writes what workers have said: that may take a minute.

    \b
    Examples:
      clearml-hpo gateway stop
    """
    check_extra()
    from clearml_hpo.gateway import running, state

    was_running = running.stop()
    click.echo("stopped" if was_running else f"no gateway was running on {state.folder()}")


@click.command()
@prints("table", "json")
def status(out: Out) -> None:
    """Say whether the gateway runs, where, and what it has to do.

    `ready` is what `/readyz` answers. Studies are those that have running trials, or something still to be written.

    \b
    Examples:
      clearml-hpo gateway status
      clearml-hpo gateway status --format json
    """
    check_extra()
    from clearml_hpo.gateway import running, state

    found = running.find()
    if found is None:
        if out.is_json:
            out.json({"running": False}, indent=None)
        else:
            start_it = "start one with: clearml-hpo gateway start"
            out.show(f"no gateway is running on {state.folder()}; {start_it}")
        return
    faults = running.faults_of(found)
    facts = {"running": True, "pid": found.pid, "url": found.url, "server": found.server, "database": found.database}
    facts |= {"ready": not faults, "faults": [*faults], **_counts(found)}
    if out.is_json:
        out.json(facts, indent=None)
        return
    shown = {**facts, "faults": "; ".join(faults) or "none"}
    out.show(*(f"{name:9} {'unknown' if value is None else value}" for name, value in shown.items()))


def _counts(found: RunningGateway) -> dict[str, int | None]:
    """What its database says; None where this shell does not know that database, or cannot reach it."""
    from clearml_hpo.gateway import state
    from clearml_hpo.gateway.db import handouts, outbox, studies

    with contextlib.suppress(GatewayError), contextlib.closing(state.database(found.option)) as database:
        if database.name == found.database:
            with database.read() as connection:
                return {
                    "studies": len(studies.under_way(connection)),
                    "trials": handouts.count_live(connection),
                    "outbox": outbox.backlog(connection).count,
                }
    return dict.fromkeys(("studies", "trials", "outbox"))


@click.command()
@click.option("--url", default=f"http://127.0.0.1:{PORT}", show_default=True, help="The gateway's address.")
@database_option
def login_link(url: str, database: str | None) -> None:
    """Print a link that logs a browser in as the user of this command, who owns every project.

    It works once, within ten minutes; the session lasts twelve hours, and ends an hour after its last use.

    \b
    Examples:
      clearml-hpo gateway login-link
      clearml-hpo gateway login-link --url https://hpo.example.org
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--url: found {url!r}; expected an address such as https://hpo.example.org")
    with open_database(database) as opened:
        click.echo(_login_link(opened, url))


def _login_link(opened: Database, url: str) -> str:
    from clearml_hpo.gateway.auth.sessions import Sessions
    from clearml_hpo.gateway.db import accounts

    with opened.write() as connection:
        user = accounts.ensure_user(connection, accounts.LOCAL, me(), is_admin=True)
    return f"{url.rstrip('/')}/login?key={Sessions(opened).new_link(user.id)}"


def _welcome(opened: Database, url: str, *, hopaas: bool) -> None:
    """Prints a link that logs in; makes the first token, and says how to use it."""
    from clearml_hpo.gateway.db import tokens

    click.echo(f"in a browser, once, within ten minutes: {_login_link(opened, url)}")
    with opened.read() as connection:
        if tokens.listed(connection):
            click.echo("tokens: clearml-hpo gateway token list, or token new NAME for another one")
            return
    made = make_token(opened, "first", "hopaas" if hopaas else "api", PROJECT, ("worker",), _FIRST_S)
    text = made.text.reveal()
    if not hopaas:
        click.echo(
            f"first token, valid until {moment(made.row.expires)}, not shown again:\n"
            f"  export CLEARML_HPO_TOKEN={text}\n"
            f"a worker: curl -O {url}/client.py; its first lines are an example\n"
            f'for curl: curl -H "Authorization: Bearer $CLEARML_HPO_TOKEN" {url}/api/v1/projects/{PROJECT}/studies'
        )
        return
    click.echo(f"first token, valid until {moment(made.row.expires)}, not shown again: {text}")
    click.echo(
        f"for hopaas_client: hopaas_client.Client(server='{url}', token='{text}')\n"
        f"for curl: curl -d '{_EXAMPLE}' {url}/api/ask/{text}"
    )
