"""A client that speaks HTTP and nothing else."""

from __future__ import annotations

from typing import Any

import requests

from clearml_hpo.server import RunningServer


class Client:
    """A caller with a connection of its own."""

    def __init__(self, server: RunningServer) -> None:
        self._url = server.address.api
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (server.address.access_key, server.address.secret_key)

    def call(self, endpoint: str, **data: Any) -> dict[str, Any]:
        answer = self.session.post(f"{self._url}/{endpoint}", json=data, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()["data"]
        return found
