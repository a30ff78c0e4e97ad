"""From where a request comes: this machine, this site, or a page of another one that is open in a browser."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from clearml_hpo.machine.settings import is_loopback

# A proxy says so that it passes on what others ask.
_PASSED_ON = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def is_from_elsewhere(scope: Scope) -> bool:
    """Whether a page that is open in a browser tries to read this server, under a name that it made point here."""
    if not is_loopback(scope["server"][0]):
        return False
    name = host_name(Headers(scope=scope).get("host", ""))
    return not (name == "localhost" or name.endswith(".localhost") or is_loopback(name))


def is_of_another_site(scope: Scope) -> bool:
    """Whether a browser sends this for a page of another site."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").strip().lower()


def is_fetched_by_another_site(scope: Scope) -> bool:
    """Whether a browser says that a page of another site, or of another port, loads this."""
    return Headers(scope=scope).get("sec-fetch-site") not in (None, "same-origin", "none")


def is_passed_on(scope: Scope) -> bool:
    """True if a proxy sends this for another client."""
    headers = Headers(scope=scope)
    return any(name in headers for name in _PASSED_ON)


def host_name(host: str) -> str:
    """The name or address in a Host header, without port and brackets."""
    host = host.strip()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
