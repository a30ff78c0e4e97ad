"""One study, served to outside workers by the process that drives it: ``clearml-hpo run study.yaml --gateway``.

Its database, its token and its address end with it. A gateway that is to outlast a study is ``gateway run``.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from starlette.types import ASGIApp

from clearml_hpo.controller.opening import Opened, Opening
from clearml_hpo.controller.run import Outcome
from clearml_hpo.core.goal import Goal
from clearml_hpo.gateway.app import build_app
from clearml_hpo.gateway.auth import Kind, Right, Rights, Tokens
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.db import Database, accounts, handouts, studies
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.host import Host
from clearml_hpo.gateway.hosting import Hosting
from clearml_hpo.gateway.process import web_server
from clearml_hpo.gateway.redact import guard_logs
from clearml_hpo.gateway.v1.events import Streams
from clearml_hpo.gateway.v1.leases import Leases
from clearml_hpo.gateway.v1.names import suid_of
from clearml_hpo.gateway.v1.problems import PREFIX
from clearml_hpo.gateway.v1.routes import routes
from clearml_hpo.study_file import StudyFile
from clearml_hpo.views.display import View

_PROJECT = "clearml-hpo-outside"  # what RemoteStudy takes if none is named
_RIGHTS = (Right.READ, Right.ASK, Right.REPORT)
_LEASE_S = 600.0
"""How long a silent worker is waited for."""
_VALID_S = 365 * 86_400.0
"""Validity of the token, which ends with the study."""
_LINGER_S = 5.0
"""How long requests are still answered after the end, so that workers hear that there are no more trials."""
_ENDS_S = 5.0
"""Longest wait for requests that are open at the end."""
_LOOK_S = 0.2
"""How often it is looked whether the user wants the study to end."""


def serve_study(
    file: StudyFile,
    find: Callable[[Opening], Opened],
    view_of: Callable[[], View],
    stopped: threading.Event,
    say: Callable[[str], None],
    *,
    take_over: bool = False,
) -> tuple[Goal, Outcome]:
    """Drives a study until it ends, and hands its trials out on this machine's loopback meanwhile.

    Args:
        find: opens the study of ``file``.
        view_of: makes the view of the study.
        stopped: ends it early; what runs then is aborted, and its worker hears of that.
        say: prints address, token and how to use them, a line each.

    Raises:
        InputError, StudyError, HeldError: as of a study without a gateway.
    """
    with tempfile.TemporaryDirectory(prefix="clearml-hpo-gateway-") as folder, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        database, pepper = Database(f"sqlite:///{folder}/gateway.sqlite3"), Pepper.load(Path(folder) / "pepper")
        database.open()
        tokens = Tokens(database, pepper)
        row, token = _one_study(database, tokens, file.spec.study)
        for line in _how_to(url, row, file.goal.metrics[0], token):
            say(line)
        with view_of() as view:
            hosting = Hosting(database, view.note)
            host = Host(row, file, database, view.note, view=view, find=find, take_over=take_over, aborts=True)
            hosting.adopt(host)
            streams = Streams()
            v1 = partial(routes, hosting, leases=Leases(pepper), tokens=tokens, streams=streams)
            with _served(build_app(hosting, tokens, v1=v1, version=version("clearml-hpo")), listening, streams):
                _drive(host, stopped)
                with database.read() as connection:
                    was_used = bool(handouts.of_study(connection, row.id))
                if was_used and host.error is None:
                    time.sleep(_LINGER_S)
        database.close()
    if host.error is not None:
        raise host.error
    if host.outcome is None:
        raise KeyboardInterrupt
    return file.goal, host.outcome


def _one_study(database: Database, tokens: Tokens, name: str) -> tuple[StudyRow, str]:
    """The study of the database, and a token that can ask for its trials and report, and make no other study."""
    with database.write() as connection:
        owner = accounts.ensure_user(connection, accounts.LOCAL, "run", is_admin=True)
        project = accounts.ensure_project(connection, _PROJECT)
        row, _ = studies.get_or_create(
            connection, project.id, suid_of(name), name=name, set_up="", file="", lease_s=_LEASE_S
        )
    rights = Rights.parse(right.value for right in _RIGHTS)
    made = tokens.create(owner.id, project.id, kind=Kind.API, name=name, rights=rights, lives_s=_VALID_S)
    return row, made.text.reveal()


def _how_to(url: str, row: StudyRow, metric: str, token: str) -> Iterator[str]:
    """What a user types to run trials."""
    yield f"gateway, until the study ends: {url}"
    yield f"  export CLEARML_HPO_TOKEN={token}"
    yield f"a worker in Python (from client import RemoteStudy, where only this is: curl -O {url}/client.py):"
    yield "  from clearml_hpo import RemoteStudy"
    yield f"  for trial in RemoteStudy({url!r}, {row.name!r}).trials():"
    yield "      with trial:"
    yield f"          trial.complete({{{metric!r}: train(**trial.params)}})"
    yield "a trial by curl:"
    yield (
        '  curl -H "Authorization: Bearer $CLEARML_HPO_TOKEN" -H "Content-Type: application/json" '
        f"-d '{{\"wait_s\": 30}}' {url}{PREFIX}/studies/{row.id}/trials:ask"
    )


@contextmanager
def _served(app: ASGIApp, listening: socket.socket, streams: Streams) -> Iterator[None]:
    """Requests are answered by a thread."""
    guard_logs()
    server = web_server(app, streams)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="gateway", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_ENDS_S)


def _drive(host: Host, stopped: threading.Event) -> None:
    host.start()
    while host.is_alive:
        if stopped.wait(_LOOK_S):
            host.stop()
    host.join()
