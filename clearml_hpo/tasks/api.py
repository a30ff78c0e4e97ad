"""Calls to a ClearML server through the SDK's own session (login, tokens, retries, clearml.conf), counted."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from clearml.backend_api import Session

from clearml_hpo.errors import ApiError, ServerError

_FIRST_ANSWER_S = 10


class Api:
    """One connection to the ClearML server that is configured.

    Attributes:
        calls: how often each endpoint was called, the login included.
        server_ahead_s: by how much the server's clock is ahead of this machine's, to a second or so.
    """

    def __init__(self) -> None:
        """Logs in.

        Raises:
            ServerError: nobody answers at the configured address, or the credentials are refused.
        """
        self.calls: Counter[str] = Counter()
        host = Session.get_api_server_host()
        try:
            # The session itself would go on trying for hours; a wrong address should be said at once.
            answer = requests.get(f"{host}/debug.ping", timeout=_FIRST_ANSWER_S)
        except requests.RequestException as error:
            raise ServerError(
                f"no ClearML server answers at {host} ({type(error).__name__}); "
                "check CLEARML_API_HOST or clearml.conf, or add --local to use an embedded server"
            ) from None
        self.server_ahead_s = _ahead(answer.headers.get("Date"))
        try:
            self._session = Session()
        except Exception as error:  # the SDK raises several unrelated types here
            raise ServerError(f"the ClearML server at {host} refused the login: {error}") from None
        self.calls.update({"debug.ping": 1, "auth.login": 1})

    @property
    def web(self) -> str:
        """Address of the web pages."""
        return str(Session.get_app_server_host())

    @property
    def files(self) -> str:
        """Address of the file server."""
        return str(Session.get_files_server_host())

    def file_size(self, url: str) -> int | None:
        """Bytes of a file on an HTTP server; None if it is not there.

        Raises:
            ServerError: the server does not answer, or does not say.
        """
        headers = self._session.add_auth_headers({}) if url.startswith(f"{self.files}/") else {}
        try:
            response = requests.head(url, headers=headers, timeout=_FIRST_ANSWER_S)
        except requests.RequestException as error:
            raise ServerError(f"{url} cannot be looked at: {type(error).__name__}") from None
        if response.status_code == requests.codes.not_found:
            return None
        if not response.ok:
            raise ServerError(f"{url} cannot be looked at: HTTP {response.status_code}")
        return int(response.headers.get("content-length", 0))

    def task_url(self, project_id: str, task_id: str) -> str:
        """The page of a task, as the SDK prints it."""
        return f"{self.web}/projects/{project_id}/tasks/{task_id}/output/log"

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """Calls ``service.action`` and returns the answer's ``data``.

        Raises:
            ApiError: the server refused the call.
        """
        service, _, action = endpoint.partition(".")
        self.calls[endpoint] += 1
        return _data(endpoint, self._session.send_request(service, action, method="post", json=body))

    def send_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Sends scalars, plots and log lines in one ``events.add_batch`` (JSON lines)."""
        lines = "\n".join(json.dumps(event) for event in events)
        if not lines:
            return
        endpoint = "events.add_batch"
        self.calls[endpoint] += 1
        response = self._session.send_request(
            "events",
            "add_batch",
            method="post",
            headers={"Content-Type": "application/json-lines"},
            data=lines.encode(),
        )
        _data(endpoint, response)


def _ahead(date: str | None) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time() if date else 0.0


def _data(endpoint: str, response: requests.Response) -> dict[str, Any]:
    try:
        envelope = response.json()
        meta = envelope["meta"]
    except (ValueError, KeyError):
        raise ApiError(endpoint, response.status_code, 0, response.text[:200] or "no answer") from None
    if meta["result_code"] != 200:
        raise ApiError(endpoint, meta["result_code"], meta.get("result_subcode", 0), meta.get("result_msg", ""))
    data: dict[str, Any] = envelope["data"]
    return data
