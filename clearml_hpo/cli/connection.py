"""The server that a command talks to: the configured one, else the embedded one of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import settings

if TYPE_CHECKING:
    from clearml_hpo.studies.study import Study


def say(text: str) -> None:
    """Says something by the way, on stderr: which server a command talks to."""
    click.secho(text, err=True, dim=True)


def is_embedded(*, local: bool, say: Callable[[str], None] = say) -> bool:
    """True if a command is to use the embedded server: it was asked to, or no other one is configured.

    Else says which one it talks to.
    """
    from clearml_hpo.backend.configured import configured_server

    server = None if local else configured_server()
    if server is not None:
        say(f"server: {server.address.web}")
    return server is None


@contextmanager
def server_of_studies(*, local: bool) -> Iterator[None]:
    """Has this process talk to the server that is configured; with none, or ``local``, to the embedded one.

    An embedded server that does not run is started for as long as the block lasts.

    Raises:
        InputError: no server is configured, and none was ever embedded here.
    """
    if not is_embedded(local=local):
        yield
        return
    here = settings.load()
    if not (here.home / "server").is_dir():
        said = "" if local else "no ClearML server is configured, and "
        raise InputError(
            f"{said}no embedded one was ever started on this machine (in {here.home}): "
            "write a clearml.conf (clearml-init), or: clearml-hpo run STUDY.yaml --local"
        )
    from clearml_hpo.driving.local import embedded_server

    with embedded_server(here, say) as server:
        settings.use_server(server)
        yield


def load_study(study: str, project: str | None = None) -> Study:
    """The study that a user has named; of several of this name the newest, which is said."""
    from clearml_hpo.studies.study import Study

    found = Study.load(study, project)
    if found.record.namesakes:
        say(f"{study} is the newest study of this name, {found.study_id}; others: {found.record.namesakes}")
    return found


def use_lasting_server(*, local: bool, say: Callable[[str], None] = say) -> None:
    """Has this process talk to the server that is configured; with none, or ``local``, to the embedded one that runs.

    Raises:
        InputError: none runs that would stay.
    """
    if is_embedded(local=local, say=say):
        settings.use_server(lasting_server(local=local, say=say))


def lasting_server(*, local: bool = False, say: Callable[[str], None] = say) -> settings.ServerAddress:
    """The embedded server that runs.

    Raises:
        InputError: none runs that would stay.
    """
    from clearml_hpo.server import process

    running = process.status(settings.load().home / "server")
    if running is None:
        raise InputError(
            "no embedded server runs that could stay: clearml-hpo server start"
            if local
            else "no ClearML server is configured, and no embedded one runs: write a clearml.conf (clearml-init), "
            "set CLEARML_API_HOST and its keys, or: clearml-hpo server start"
        )
    say(f"embedded server: {running.address.web}")
    return running.address
