"""The server that agents work for."""

from __future__ import annotations

from clearml_hpo.backend import configured
from clearml_hpo.core.errors import AgentError
from clearml_hpo.machine.settings import ServerAddress


def configured_server() -> ServerAddress:
    """The server that the environment or clearml.conf names, as an agent started here would see it.

    Raises:
        AgentError: none is configured, or without keys.
        InputError: clearml.conf cannot be read.
    """
    server = configured.configured_server()
    if server is None or not (server.address.access_key and server.address.secret_key):
        raise AgentError(f"no ClearML server is configured: {configured.HOW_TO}")
    return server.address
