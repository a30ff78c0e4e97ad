"""The server of a Python session: the one that is configured, else the embedded one of this machine."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache

from clearml_hpo.backend.configured import configured_server
from clearml_hpo.driving.local import embedded_server
from clearml_hpo.machine import settings
from clearml_hpo.machine.settings import ServerAddress


def use_server_of_session(*, local: bool = False, may_start: bool = False) -> ServerAddress | None:
    """Has this process use the embedded server, if it is to: it is asked to, or no server is configured.

    Args:
        local: use the embedded one, also if another one is configured.
        may_start: start an embedded one where there never was any.

    Returns:
        The embedded server, which stays until this process ends; None if another one is used, or there is none.
    """
    home = settings.load().home
    if not local and configured_server() is not None:
        return None
    if not may_start and not local and not (home / "server").is_dir():
        return None
    return _embedded()


@cache
def _embedded() -> ServerAddress:
    stack = ExitStack()
    atexit.register(stack.close)
    server = stack.enter_context(embedded_server(settings.load(), print))
    settings.use_server(server)
    return server
