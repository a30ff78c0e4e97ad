"""The SDK's session, made to say when a server does not answer.

By itself it makes a call again for hours (240 times, up to two minutes apart), and without end while the server says
that it is in maintenance (503) or when TLS fails, without a message. Here the loop decides whether to ask again.
"""

from __future__ import annotations

from typing import Any

import requests
from clearml.backend_api import Session
from clearml.backend_api.utils import get_http_session_with_retry

from clearml_hpo.backend.http import data_of, no_answer, no_clearml
from clearml_hpo.machine.settings import USER_AGENT

TIMEOUT_S = (5.0, 60.0)
"""Longest waits for a connection to a server, and for its answer."""

_TOO_MANY_REQUESTS = 429
_LOGIN = "auth.login"


class AskOnce(Session):  # type: ignore[misc]
    """Makes each call once; log-in, tokens and clearml.conf are the SDK's."""

    def _connect(self) -> None:
        self._http = get_http_session_with_retry(config=self.config)
        self._http.write_timeout = TIMEOUT_S
        super()._connect()

    def _send_request(
        self,
        service: str,
        action: str,
        version: str | None = None,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        refresh_token_if_unauthorized: bool = True,
        **request: Any,
    ) -> requests.Response:
        """All that the session sends comes through here.

        Raises:
            ApiError: 503 if there is no answer, 502 for a log-in that something else answers, else what the server says
                while it is in trouble (5xx, 429).
        """
        endpoint = f"{service}.{action}"
        own = {**dict.fromkeys(self._WORKER_HEADER, self.worker), **dict.fromkeys(self._CLIENT_HEADER, self.client)}
        sent = {**(headers or {}), **own, "User-Agent": USER_AGENT}
        url = "/".join(filter(None, [self.host, version and f"v{version}", endpoint]))
        try:
            response: requests.Response = self._http.request(
                method or "post", url, headers=sent, timeout=TIMEOUT_S, **request
            )
        except requests.RequestException as error:
            raise no_answer(endpoint, self.host, error) from None
        if response.status_code == requests.codes.unauthorized and refresh_token_if_unauthorized:
            self.refresh_token()  # rights may have changed, or the server's keys
            again: requests.Response = self._send_request(
                service,
                action,
                version,
                method,
                self.add_auth_headers(sent),
                refresh_token_if_unauthorized=False,
                **request,
            )
            return again
        _check_server(endpoint, response)
        return response


def _check_server(endpoint: str, response: requests.Response) -> None:
    """Raises ApiError for an answer that says nothing of the call, but of the server."""
    if response.status_code >= 500 or response.status_code == _TOO_MANY_REQUESTS:
        data_of(endpoint, response)
    if endpoint == _LOGIN and not data_of(endpoint, response).get("token"):
        raise no_clearml(endpoint, response)
