"""A request, as all wires read it: where it came from, its token, its body."""

from __future__ import annotations

import anyio
from starlette.requests import Request

from clearml_hpo.gateway.auth import Kind, Principal, RefusedTokenError, Tokens
from clearml_hpo.gateway.bodies import MOST_BYTES
from clearml_hpo.gateway.service import ForbiddenError, ServiceError
from clearml_hpo.machine.settings import is_loopback

_BODY_S = 30
"""Longest time that a client may take to send a body."""


class TooLargeError(ServiceError):
    """The body has more bytes than are read."""


class TooSlowError(ServiceError):
    """The body did not come in time."""


async def read_body(request: Request) -> bytes:
    """The body, whatever its type.

    Raises:
        TooLargeError: it has more than ``MOST_BYTES``.
        TooSlowError: it took more than 30 s.
    """
    parts: list[bytes] = []
    size = 0
    try:
        with anyio.fail_after(_BODY_S):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise TooLargeError(f"the body has more than {MOST_BYTES} bytes")
                parts.append(part)
    except TimeoutError:
        raise TooSlowError(f"the body did not come within {_BODY_S} s") from None
    return b"".join(parts)


class Caller:
    """Finds out whom a request is from."""

    def __init__(self, tokens: Tokens, is_proxy: frozenset[str] = frozenset()) -> None:
        """``is_proxy``: addresses, beside loopback, whose ``X-Forwarded-*`` headers are believed."""
        self._tokens = tokens
        self._proxies = is_proxy

    def by_path(self, request: Request, text: str, *, may_be_expired: bool = False) -> Principal:
        """Whom a request with a Hopaas token in its path is from.

        A token that came over plain HTTP from another machine has been seen by others: it is revoked.

        Raises:
            RefusedTokenError: the token does not count.
            ForbiddenError: it came over plain HTTP.
        """
        who = self._tokens.check(text, Kind.HOPAAS, self.address(request), may_be_expired=may_be_expired)
        if self.came_in_the_open(request):
            self._tokens.revoke(who.token, by="gateway", why="it was sent over plain HTTP")
            raise ForbiddenError("this token was sent over plain HTTP and is revoked: make a new one, and use https")
        return who

    def known_by_path(self, request: Request, text: str) -> Principal | None:
        """The same if it is known without asking the database; None if :meth:`by_path` is to say."""
        who = self._tokens.known(text, Kind.HOPAAS)
        return None if who is None or self.came_in_the_open(request) else who

    def by_header(self, request: Request, *, may_be_expired: bool = False) -> Principal:
        """Whom a request with ``Authorization: Bearer`` is from. Raises RefusedTokenError."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedTokenError("there is none in the header Authorization")
        return self._tokens.check(text.strip(), Kind.API, self.address(request), may_be_expired=may_be_expired)

    def known_by_header(self, request: Request) -> Principal | None:
        """The same if it is known without asking the database; None if :meth:`by_header` is to say."""
        return self._tokens.known(request.headers.get("authorization", "").partition(" ")[2].strip(), Kind.API)

    def address(self, request: Request) -> str:
        """Where a request came from: before a proxy that is believed, what that says."""
        peer = request.client.host if request.client else ""
        forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return (forwarded or peer) if self._is_believed(peer) else peer

    def is_https(self, request: Request) -> bool:
        """True if the client speaks https, with the gateway or with a proxy that is believed."""
        peer = request.client.host if request.client else ""
        forwarded = request.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        return ((self._is_believed(peer) and forwarded) or request.url.scheme) == "https"

    def came_in_the_open(self, request: Request) -> bool:
        """True if the request came over plain HTTP from another machine."""
        peer = request.client.host if request.client else ""
        if not self._is_believed(peer):
            return request.url.scheme != "https"
        scheme = request.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        if not scheme:
            return not _is_here(peer) and request.url.scheme != "https"
        return scheme != "https" and not _is_here(self.address(request))

    def _is_believed(self, peer: str) -> bool:
        return _is_here(peer) or peer in self._proxies


def _is_here(address: str) -> bool:
    return not address or is_loopback(address)  # a UNIX socket has no address
