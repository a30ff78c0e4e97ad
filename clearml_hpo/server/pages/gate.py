"""Who may come in: the user whose server this is, and users who have logged in; web sites that they visit stay out.

On Linux the kernel says whose a connection from this machine is, so that a link which the SDK prints just opens for the
user who started the server, and for no other user of the machine. Everybody else logs in with a key pair.
"""

from __future__ import annotations

import contextlib
import os
import sys
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from clearml_hpo.server.auth import Authority
from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.hosts import is_of_another_site

COOKIE = "clearml_hpo_pages"
SESSION_S = 12 * 3600
"""Life of a log-in to the pages."""
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
_ESTABLISHED = "01"


def is_foreign(scope: Scope) -> bool:
    """Whether a page that is open in a browser tries to read this one, under a name that it made point here."""
    if not _is_loopback(scope["server"][0]):
        return False
    try:
        name = urlsplit(f"//{Headers(scope=scope).get('host', '').strip()}").hostname or ""
    except ValueError:
        return True
    return not (name == "localhost" or name.endswith(".localhost") or _is_loopback(name))


def is_own_order(scope: Scope) -> bool:
    """Whether a form was sent from a page of this server; browsers say so, and no page can make them lie."""
    headers = Headers(scope=scope)
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return False
    # By name and port alone: before a proxy that encrypts, the scheme is another one.
    return not is_of_another_site(scope) and site in (None, "same-origin")


def may_enter(scope: Scope, authority: Authority) -> bool:
    """Whether the visitor is the server's own user on this machine, or has logged in."""
    return has_session(scope, authority) or is_own_user(scope)


def has_session(scope: Scope, authority: Authority) -> bool:
    """Whether the visitor has logged in."""
    token = cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE)
    if not token:
        return False
    with contextlib.suppress(ApiRefusal):
        authority.check(token)
        return True
    return False


def is_own_user(scope: Scope, tables: tuple[Path, ...] = _TABLES) -> bool:
    """Whether a process of the server's own user, on this machine, is at the other end of the connection."""
    client = scope.get("client")
    if not client or not _is_loopback(client[0]) or any(name in Headers(scope=scope) for name in _FORWARDED):
        return False
    ends = _ends(client), _ends(scope["server"])
    for table in tables:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                row = line.split()
                if row[1] in ends[0] and row[2] in ends[1] and row[3] == _ESTABLISHED:
                    return int(row[7]) == os.geteuid()
    return False


def _ends(address: tuple[str, int]) -> tuple[str, ...]:
    """An address as the kernel's tables write it: words in the machine's own order of bytes."""
    ip, port = ip_address(address[0]), f"{address[1]:04X}"
    forms = [ip.packed]
    if isinstance(ip, IPv4Address):
        forms.append(b"\0" * 10 + b"\xff\xff" + ip.packed)
    elif ip.ipv4_mapped:
        forms.append(ip.ipv4_mapped.packed)
    return tuple(f"{_words(packed)}:{port}" for packed in forms)


def _words(packed: bytes) -> str:
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool(ip.is_loopback or (mapped and mapped.is_loopback))
