"""The few calls to a ClearML server that supervising agents takes, over plain HTTP.

``clearml`` itself is not used: it would make this process a client with threads and settings of its own.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

from clearml_hpo.core.errors import AgentError, ApiError
from clearml_hpo.machine.settings import USER_AGENT, ServerAddress, child_environ, is_local

_TIMEOUT_S = 15.0
_ASK_THE_AGENT = """
import json
from clearml_agent.backend_api.config import load
from clearml_agent.definitions import ENVIRONMENT_CONFIG as env
config = load()
names = ("api_server", "web_server", "files_server", "credentials.access_key", "credentials.secret_key")
print(json.dumps([env["api." + n].get() or config.get("api." + n, "") for n in names]))
"""


class Client:
    """One server, logged in to at the first call."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._token = ""
        # A proxy that the environment names knows nothing of a server on this machine.
        proxies = urllib.request.ProxyHandler({} if is_local(address.api) else None)
        self._opener = urllib.request.build_opener(proxies)

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """The ``data`` of the answer to one call.

        Raises:
            ApiError: the server refused the call.
            AgentError: no answer, or none of a ClearML server.
        """
        if not self._token:
            self._login()
        try:
            return self._post(endpoint, body)
        except ApiError as error:
            if error.code != 401:
                raise
        self._login()  # the token had expired
        return self._post(endpoint, body)

    def _login(self) -> None:
        keys = f"{self._address.access_key}:{self._address.secret_key}".encode()
        basic = {"Authorization": "Basic " + base64.b64encode(keys).decode()}
        token = self._send("auth.login", {}, basic).get("token")
        if not token:
            raise AgentError(f"no ClearML server answers at {self._address.api}: something else does")
        self._token = str(token)

    def _post(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._send(endpoint, body, {"Authorization": f"Bearer {self._token}"})

    def _send(self, endpoint: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._address.api.rstrip('/')}/{endpoint}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "User-Agent": USER_AGENT, **headers},
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                data: dict[str, Any] = _data(json.load(answer))
        except urllib.error.HTTPError as error:
            raise _refusal(endpoint, error) from None
        except (OSError, ValueError) as error:
            raise AgentError(f"no ClearML server answers at {self._address.api}: {error}") from None
        return data


def _data(envelope: Any) -> dict[str, Any]:
    """What is in ClearML's envelope; ValueError if there is none, such as of a proxy that answers in its place."""
    try:
        meta, data = envelope["meta"], envelope.get("data") or {}
    except (KeyError, TypeError, AttributeError):
        meta, data = None, None
    if not (isinstance(meta, dict) and meta.get("result_code") == 200 and isinstance(data, dict)):
        raise ValueError("something else does")
    return data


def _refusal(endpoint: str, error: urllib.error.HTTPError) -> ApiError:
    try:
        meta = json.load(error)["meta"]
        return ApiError(endpoint, error.code, int(meta["result_subcode"]), str(meta["result_msg"]))
    except (ValueError, KeyError, TypeError):
        return ApiError(endpoint, error.code, 0, error.reason)


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
