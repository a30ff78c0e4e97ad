"""ClearML's API over HTTP: how a call is sent and its answer read; and a client without the SDK.

The SDK takes a second of processor time and 100 MiB to load: too much for a process that only looks after others.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from clearml_hpo.core.errors import ApiError, UnreachableError, is_trouble
from clearml_hpo.machine.settings import USER_AGENT, ServerAddress, is_local

_CLIENT_TIMEOUT_S = 15.0
"""Longest wait for a connection, and for an answer, of the client without the SDK."""
_OF_THE_CALL = (400, 413)  # also a proxy's refusals of what was sent
_SHOWN = 200


class Client:
    """One server, logged in to at the first call; the SDK is not loaded."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._http = http_session(address.api)
        self._token: _Token | None = None

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """The ``data`` of the answer to one call.

        Raises:
            ApiError: the server refused the call; 503 if there is no answer, 502 if it is not a ClearML server's.
            UnreachableError: the same at the log-in.
        """
        if self._token is None:
            self._token = self._login()
        try:
            return self._post(endpoint, body, self._token)
        except ApiError as error:
            if error.code != requests.codes.unauthorized:
                raise
        self._token = self._login()  # it had expired
        return self._post(endpoint, body, self._token)

    def _login(self) -> _Token:
        keys = HTTPBasicAuth(self._address.access_key, self._address.secret_key)
        try:
            return _Token(str(self._post("auth.login", {}, keys)["token"]))
        except KeyError:
            why = "something else does"
        except ApiError as error:
            if not is_trouble(error):
                raise
            why = str(error)
        raise UnreachableError(f"no ClearML server answers at {self._address.api} ({why})")

    def _post(self, endpoint: str, body: dict[str, Any], auth: AuthBase) -> dict[str, Any]:
        url = f"{self._address.api.rstrip('/')}/{endpoint}"
        try:
            response = self._http.post(url, json=body, auth=auth, timeout=_CLIENT_TIMEOUT_S)
        except requests.RequestException as error:
            raise no_answer(endpoint, self._address.api, error) from None
        return data_of(endpoint, response)


class _Token(AuthBase):
    """Shows the token of a log-in; a ``.netrc`` cannot take its place, as it does with a header."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._text}"
        return request


def http_session(url: str) -> requests.Session:
    """A connection to the server of ``url``; a proxy that the environment names knows nothing of this machine."""
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.trust_env = not is_local(url)
    return session


def data_of(endpoint: str, response: requests.Response) -> dict[str, Any]:
    """The ``data`` of an answer.

    Raises:
        ApiError: the server refused the call; 502 if something else has answered.
    """
    try:
        envelope = response.json()
        meta, data = envelope["meta"], envelope.get("data") or {}
        code, subcode, said = int(meta["result_code"]), meta.get("result_subcode") or 0, meta.get("result_msg") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        raise no_clearml(endpoint, response) from None
    if code != requests.codes.ok:
        raise ApiError(endpoint, code, subcode, said)
    if not isinstance(data, dict):
        raise no_clearml(endpoint, response)
    return data


def no_answer(endpoint: str, host: str, error: requests.RequestException) -> ApiError:
    """There is no answer: the server counts as in trouble (503)."""
    why = f"no answer from {host} ({type(error).__name__})"
    return ApiError(endpoint, requests.codes.service_unavailable, 0, why)


def no_clearml(endpoint: str, response: requests.Response) -> ApiError:
    """An answer without ClearML's envelope is another's: of a proxy, a log-in page, what stands in for a server.

    It says nothing of the call, so that the server counts as in trouble; but a body that is too large stays so.
    """
    status = response.status_code
    code = status if status >= 500 or status in _OF_THE_CALL else requests.codes.bad_gateway
    begins = " ".join(response.text[:_SHOWN].split()) or "nothing"
    return ApiError(endpoint, code, 0, f"HTTP {status} from {response.url}, not of a ClearML server: {begins}")
