"""ClearML's API over HTTP: how a call is sent and its answer read, without the SDK.

The SDK takes a second of processor time and 100 MiB to load. By itself it makes a call again for hours (240 times, up
to two minutes apart), and without end while the server says that it is in maintenance (503) or when TLS fails, without
a message. Here each call is made once, and the loop decides whether to ask again.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import time
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from clearml_hpo.core.errors import ApiError, UnreachableError, is_trouble
from clearml_hpo.machine.settings import USER_AGENT, ServerAddress, is_local

_TIMEOUT_S = (5.0, 15.0)
"""Longest waits for a connection, and for an answer."""
_RENEWED_BEFORE_S = 600.0
"""A token is renewed this long before its end, one that is valid for less at half of its time."""
_CONNECTIONS = 64
_OF_THE_CALL = (400, 413)  # also a proxy's refusals of what was sent
_SHOWN = 200


class Client:
    """One server, logged in to at the first call."""

    def __init__(
        self,
        address: ServerAddress,
        *,
        token: str = "",
        verify: bool | str = True,
        timeout_s: tuple[float, float] = _TIMEOUT_S,
    ) -> None:
        """``token`` logs in where there are no keys; ``verify`` is as requests takes it."""
        self._address = address
        self._given = token
        self._timeout_s = timeout_s
        self._http = http_session(address.api, verify)
        self._http.headers["X-ClearML-Worker"] = socket.gethostname()
        self._token: _Token | None = None

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """The ``data`` of the answer to one call.

        Raises:
            ApiError: the server refused the call; 503 if there is no answer, 502 if it is not a ClearML server's.
            UnreachableError: the same at the first log-in.
        """
        return self.send(endpoint, json=body)

    def send(self, endpoint: str, **request: Any) -> dict[str, Any]:
        """As ``call``, for a body of any kind, as requests takes it."""
        try:
            return self._post(endpoint, self.token, **request)
        except ApiError as error:
            if error.code != requests.codes.unauthorized:
                raise
        return self._post(endpoint, self.log_in(), **request)  # rights may have changed, or the server's keys

    @property
    def token(self) -> AuthBase:
        """Shows requests that this process is logged in; logs in if need be."""
        if self._token is not None:
            return self.log_in() if time.time() > self._token.renewed_at else self._token
        try:
            return self.log_in()
        except ApiError as error:
            if not is_trouble(error):
                raise
            raise UnreachableError(f"no ClearML server answers at {self._address.api} ({error})") from None

    def log_in(self) -> AuthBase:
        """Gets a token.

        Raises:
            ApiError: it is refused; 503 if there is no answer, 502 if something else than a ClearML server answers.
        """
        shown: AuthBase
        if self._given:
            shown = self._token or _Token(self._given)
        else:
            shown = HTTPBasicAuth(self._address.access_key, self._address.secret_key)
        self._token = _Token(str(self._post("auth.login", shown, needed="token", json={})["token"]))
        return self._token

    def _post(self, endpoint: str, auth: AuthBase, *, needed: str = "", **request: Any) -> dict[str, Any]:
        url = f"{self._address.api.rstrip('/')}/{endpoint}"
        try:
            response = self._http.post(url, auth=auth, timeout=self._timeout_s, **request)
        except requests.RequestException as error:
            raise no_answer(endpoint, self._address.api, error) from None
        data = data_of(endpoint, response)
        if needed and not data.get(needed):
            raise no_clearml(endpoint, response)
        return data


class _Token(AuthBase):
    """Shows the token of a log-in; a ``.netrc`` cannot take its place, as it does with a header.

    Attributes:
        renewed_at: when it is to be renewed, in seconds of the epoch.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        left_s = _end_of(text) - time.time()
        self.renewed_at = time.time() + max(left_s - _RENEWED_BEFORE_S, left_s / 2)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._text}"
        return request


def _end_of(token: str) -> float:
    """When a JSON web token ends; never, if it does not say."""
    try:
        return float(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["exp"])
    except (ValueError, LookupError, TypeError):
        return math.inf


def http_session(url: str, verify: bool | str = True) -> requests.Session:
    """Connections to the server of ``url``; a proxy that the environment names knows nothing of this machine."""
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.trust_env = not is_local(url)
    session.verify = verify
    if verify is False:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
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
