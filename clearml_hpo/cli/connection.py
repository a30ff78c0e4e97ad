"""The server that commands on recorded studies talk to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import settings
from clearml_hpo.server import process as server_process


@contextmanager
def server_of_studies(*, local: bool) -> Iterator[None]:
    """Has this process talk to the server that is configured; with none, or ``local``, to the embedded one.

    An embedded server that does not run is started for as long as the block lasts.

    Raises:
        InputError: no server is configured, and none was ever embedded here.
    """
    here = settings.load()
    if here.clearml_configured and not local:
        yield
        return
    if not (here.home / "server").is_dir():
        said = "" if local else "no ClearML server is configured, and "
        raise InputError(
            f"{said}no embedded one was ever started on this machine (in {here.home}): "
            "write a clearml.conf (clearml-init), or: clearml-hpo run STUDY.yaml --local"
        )
    from clearml_hpo.cli.local import embedded_server

    with embedded_server(here, lambda text: None) as server:
        settings.use_server(server)
        yield


def use_lasting_server(*, local: bool) -> None:
    """Has this process talk to the server that is configured; with none, or ``local``, to the embedded one that runs.

    Raises:
        InputError: none runs that would stay.
    """
    here = settings.load()
    if here.clearml_configured and not local:
        return
    running = server_process.status(here.home / "server")
    if running is None:
        raise InputError(
            "no embedded server runs that could stay: clearml-hpo server start"
            if local
            else "no ClearML server is configured, and no embedded one runs: write a clearml.conf (clearml-init), "
            "or: clearml-hpo server start"
        )
    settings.use_server(running.address)
