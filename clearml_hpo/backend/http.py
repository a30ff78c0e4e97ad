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
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from clearml_hpo.core.errors import ApiError, UnreachableError, is_trouble
from clearml_hpo.machine.settings import USER_AGENT, ServerAddress, is_local

_TIMEOUT_S = (5.0, 15.0)
"""Longest waits for a connection, and for an answer."""
_RENEWED_BEFORE_S = 600.0
"""A token is renewed this long before its end, one that is valid for less at half of its time."""
_LEAST_BYTES_S = 50 * 1024
"""Bytes a second that a request is sent with at the least; a slower one is given up."""
_CONNECTIONS = 64
_OF_THE_CALL = (400, 413)  # also a proxy's refusals of what was sent
_SHOWN = 200
_ONCE = urllib3.Retry(0, read=False, redirect=False)
JSON, LINES = "application/json", "application/json-lines"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        url: who has answered.
    """

    status: int
    url: str
    body: bytes


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
        self._connections = _Connections(address.api, verify, timeout_s)
        self._token: Token | None = None

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """The ``data`` of the answer to one call.

        Raises:
            ApiError: the server refused the call; 503 if there is no answer, 502 if it is not a ClearML server's.
            UnreachableError: the same at the first log-in.
        """
        return self.send(endpoint, json.dumps(body, allow_nan=False).encode(), JSON)

    def send(self, endpoint: str, body: bytes, kind: str) -> dict[str, Any]:
        """As ``call``, for a body of any media type."""
        try:
            return self._post(endpoint, self.token.header, body, kind)
        except ApiError as error:
            if error.code != requests.codes.unauthorized:
                raise
        # Rights may have changed, or the server's keys.
        return self._post(endpoint, self.log_in().header, body, kind)

    @property
    def token(self) -> Token:
        """Shows that this process is logged in; logs in if need be."""
        if self._token is not None:
            return self.log_in() if time.time() > self._token.renewed_at else self._token
        try:
            return self.log_in()
        except ApiError as error:
            if not is_trouble(error):
                raise
            raise UnreachableError(f"no ClearML server answers at {self._address.api} ({error})") from None

    def log_in(self) -> Token:
        """Gets a token.

        Raises:
            ApiError: it is refused; 503 if there is no answer, 502 if something else than a ClearML server answers.
        """
        if self._given:
            shown = (self._token or Token(self._given)).header
        else:
            pair = f"{self._address.access_key}:{self._address.secret_key}".encode()
            shown = f"Basic {base64.b64encode(pair).decode()}"
        self._token = Token(str(self._post("auth.login", shown, b"{}", JSON, needed="token")["token"]))
        return self._token

    def _post(self, endpoint: str, authorization: str, body: bytes, kind: str, *, needed: str = "") -> dict[str, Any]:
        try:
            answer = self._connections.post(endpoint, body, {"Authorization": authorization, "Content-Type": kind})
        except (urllib3.exceptions.HTTPError, requests.RequestException) as error:
            raise _no_answer(endpoint, self._address.api, error) from None
        data = _data_of(endpoint, answer)
        if needed and not data.get(needed):
            raise _no_clearml(endpoint, answer)
        return data


class _Connections:
    """Connections to one server, through the proxy and with the certificates that requests finds for it.

    A call through requests itself takes twice the processor time: it reads the environment each time.
    """

    def __init__(self, url: str, verify: bool | str, timeout_s: tuple[float, float]) -> None:
        self._session = http_session(url, verify)
        self._timeout_s = timeout_s
        self._url = f"{url.rstrip('/')}/"
        self._headers = {
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "gzip, deflate",
            "X-ClearML-Worker": socket.gethostname(),
        }
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._begins = self._url

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """One request, made once.

        Raises:
            urllib3.exceptions.HTTPError: there is no answer.
            requests.RequestException: the address cannot be used, or where the server refers to cannot be reached.
        """
        headers = {**self._headers, **headers}
        pool = self._pool or self._connect()
        connect, read = self._timeout_s
        response = pool.urlopen(
            *("POST", f"{self._begins}{path}", body, headers),
            retries=_ONCE,
            redirect=False,
            assert_same_host=False,  # a proxy is asked for another one
            timeout=urllib3.Timeout(connect=sending_s(connect, len(body)), read=read),
        )
        if response.get_redirect_location():  # requests follows it, as far as it may
            moved = self._session.post(f"{self._url}{path}", data=body, headers=headers, timeout=self._timeout_s)
            return Answer(moved.status_code, moved.url, moved.content)
        return Answer(response.status, f"{self._url}{path}", response.data)

    def _connect(self) -> urllib3.HTTPConnectionPool:
        session = self._session
        request = session.prepare_request(requests.Request("POST", self._url))
        told = session.merge_environment_settings(self._url, {}, False, session.verify, None)
        adapter = session.get_adapter(self._url)
        assert isinstance(adapter, HTTPAdapter)
        self._begins = adapter.request_url(request, told["proxies"])
        pool = adapter.get_connection_with_tls_context(request, told["verify"], told["proxies"], told["cert"])
        assert isinstance(pool, urllib3.HTTPConnectionPool)
        self._pool = pool
        return pool


class Token(AuthBase):
    """Shows the token of a log-in; a ``.netrc`` cannot take its place, as it does with a header.

    Attributes:
        header: what it shows.
        renewed_at: when it is to be renewed, in seconds of the epoch.
    """

    def __init__(self, text: str) -> None:
        self.header = f"Bearer {text}"
        left_s = _end_of(text) - time.time()
        self.renewed_at = time.time() + max(left_s - _RENEWED_BEFORE_S, left_s / 2)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The same for a request of another kind than a call."""
        request.headers["Authorization"] = self.header
        return request


def _end_of(token: str) -> float:
    """When a JSON web token ends; never, if it does not say."""
    try:
        return float(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["exp"])
    except (ValueError, LookupError, TypeError):
        return math.inf


def sending_s(connect_s: float, size: int) -> float:
    """Longest wait for a connection: urllib3 lets the sending of so many bytes take no longer than that, too."""
    return max(connect_s, size / _LEAST_BYTES_S)


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


def _data_of(endpoint: str, answer: Answer) -> dict[str, Any]:
    """The ``data`` of an answer.

    Raises:
        ApiError: the server refused the call; 502 if something else has answered.
    """
    try:
        envelope = json.loads(answer.body)
        meta, data = envelope["meta"], envelope.get("data") or {}
        code, subcode, said = int(meta["result_code"]), meta.get("result_subcode") or 0, meta.get("result_msg") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _no_clearml(endpoint, answer) from None
    if code != requests.codes.ok:
        raise ApiError(endpoint, code, subcode, said)
    if not isinstance(data, dict):
        raise _no_clearml(endpoint, answer)
    return data


def _no_answer(endpoint: str, host: str, error: Exception) -> ApiError:
    """There is no answer: the server counts as in trouble (503)."""
    cause = getattr(error, "reason", None) or error  # of a try that is not made again
    why = f"no answer from {host} ({type(cause).__name__})"
    return ApiError(endpoint, requests.codes.service_unavailable, 0, why)


def _no_clearml(endpoint: str, answer: Answer) -> ApiError:
    """An answer without ClearML's envelope is another's: of a proxy, a log-in page, what stands in for a server.

    It says nothing of the call, so that the server counts as in trouble; but a body that is too large stays so.
    """
    code = answer.status if answer.status >= 500 or answer.status in _OF_THE_CALL else requests.codes.bad_gateway
    begins = " ".join(answer.body.decode(errors="replace")[:_SHOWN].split()) or "nothing"
    return ApiError(endpoint, code, 0, f"HTTP {answer.status} from {answer.url}, not of a ClearML server: {begins}")
