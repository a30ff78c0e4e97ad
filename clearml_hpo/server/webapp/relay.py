"""What the web app calls, passed on to the API: a cookie in place of a header, and log-in by name.

The app keeps its token in a cookie that scripts cannot read and that browsers send for no other site's pages. Before
there is one it asks for the known users, makes a new one and logs in as one of them, by a key of its own that no
server here knows. For the server's own user, on the same machine, that is enough: they could read the owner's key as
well. For everybody else the app is told to ask for a name and password, which are an access key and its secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearml_hpo.server import hosts, identity
from clearml_hpo.server.auth import SYSTEM, TOKEN_LIFE, Authority, Caller
from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.files import COOKIE
from clearml_hpo.server.pages.gate import is_own_user
from clearml_hpo.server.store import Store

Envelope = dict[str, Any]

_BEFORE_LOG_IN = frozenset(("auth.login", "auth.create_user", "users.get_all", "users.get_all_ex"))
_AS_USER = "x-clearml-impersonate-as"
_MOMENT_S = 60
"""Life of the token with which a log-in by name is passed on."""
_IsOwn = Callable[[Scope], bool]


class Relay:
    """The API for the web app as an ASGI application."""

    def __init__(
        self, api: ASGIApp, authority: Authority, store: Store, *, by_name: bool, is_own: _IsOwn = is_own_user
    ) -> None:
        self._api = api
        self._authority = authority
        self._store = store
        self._by_name = by_name
        self._is_own = is_own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        name = scope["path"].rstrip("/").rpartition("/")[2]
        by_name = await run_in_threadpool(self._may_log_in_by_name, name, scope)
        headers = MutableHeaders(raw=list(scope["headers"]))
        authorization = await run_in_threadpool(self._authorization, name, headers, by_name)
        if authorization is not None:
            headers["authorization"] = authorization
        answer: Send = send
        if name in _SEEN:
            answer = _Answer(send, lambda start, envelope: _SEEN[name](start, envelope, by_name))
        await self._api({**scope, "headers": headers.raw}, receive, answer)

    def _may_log_in_by_name(self, endpoint: str, scope: Scope) -> bool:
        """Whether the caller need not say more than a name, where an endpoint asks for that."""
        asked = self._by_name and endpoint in _BEFORE_LOG_IN | _SEEN.keys()
        return asked and not hosts.is_passed_on(scope) and self._is_own(scope)

    def _authorization(self, name: str, headers: Headers, by_name: bool) -> str | None:
        """The header by which the API shall judge a call."""
        given = headers.get("authorization")
        if by_name and name == "auth.create_user":
            return f"Bearer {self._authority.issue(_MOMENT_S, caller=Caller(role=SYSTEM))}"
        if self._is_valid(given):
            return given
        is_before_log_in = by_name and name in _BEFORE_LOG_IN
        named = self._named_user(headers) if is_before_log_in else None
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        if cookie and self._is_valid(f"Bearer {cookie}") and not (name == "auth.login" and named):
            return f"Bearer {cookie}"
        if is_before_log_in:
            return f"Bearer {self._authority.issue(_MOMENT_S, caller=Caller(user=named or identity.USER_ID))}"
        return given

    def _is_valid(self, authorization: str | None) -> bool:
        try:
            self._authority.check_header(authorization)
        except ApiRefusal:
            return False
        return True

    def _named_user(self, headers: Headers) -> str | None:
        """The user as whom the app asks to be logged in."""
        found = self._store.users.search({"id": [headers.get(_AS_USER, "")]})
        return str(found[0]["id"]) if found else None


class _Answer:
    """Sends an answer on after ``look`` has seen it, and perhaps changed it."""

    def __init__(self, send: Send, look: Callable[[MutableHeaders, Envelope], None]) -> None:
        self._send = send
        self._look = look
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = MutableHeaders(raw=list(self._start["headers"]))
        if self._start["status"] == 200:
            envelope: Envelope = json.loads(self._body)
            self._look(headers, envelope)
            self._body = json.dumps(envelope, separators=(",", ":")).encode()
            headers["content-length"] = str(len(self._body))
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": self._body})


def _logged_in(headers: MutableHeaders, envelope: Envelope, by_name: bool) -> None:
    _set_cookie(headers, envelope["data"]["token"], int(TOKEN_LIFE.total_seconds()))


def _logged_out(headers: MutableHeaders, envelope: Envelope, by_name: bool) -> None:
    _set_cookie(headers, "", 0)


def _modes(headers: MutableHeaders, envelope: Envelope, by_name: bool) -> None:
    envelope["data"]["basic"]["enabled"] = not by_name


def _set_cookie(headers: MutableHeaders, value: str, seconds: int) -> None:
    headers.append("set-cookie", f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict")


_SEEN = {
    "auth.login": _logged_in,
    "auth.logout": _logged_out,
    "login.logout": _logged_out,
    "login.supported_modes": _modes,
}
