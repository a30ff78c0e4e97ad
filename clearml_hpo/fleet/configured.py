"""The server that agents work for."""

from __future__ import annotations

import json
import subprocess
import sys

from clearml_hpo.core.errors import AgentError
from clearml_hpo.machine.settings import ServerAddress, child_environ

_ASK_THE_AGENT = """
import json
from clearml_agent.backend_api.config import load
from clearml_agent.definitions import ENVIRONMENT_CONFIG as env
config = load()
names = ("api_server", "web_server", "files_server", "credentials.access_key", "credentials.secret_key")
print(json.dumps([env["api." + n].get() or config.get("api." + n, "") for n in names]))
"""


def configured_server() -> ServerAddress:
    """The server that the environment or clearml.conf names, as an agent started here would see it.

    Raises:
        AgentError: none is configured.
    """
    asked = subprocess.run(
        [sys.executable, "-c", _ASK_THE_AGENT],
        capture_output=True,
        text=True,
        env=child_environ(),
        check=False,
    )
    try:
        api, web, files, access_key, secret_key = json.loads(asked.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise AgentError(f"the ClearML configuration cannot be read: {asked.stderr.strip()[-500:]}") from None
    if not (api and access_key and secret_key):
        raise AgentError(
            "no ClearML server is configured: set CLEARML_API_HOST, CLEARML_API_ACCESS_KEY and "
            "CLEARML_API_SECRET_KEY, or write a clearml.conf (clearml-init)"
        )
    return ServerAddress(api, web, files, access_key, secret_key)
