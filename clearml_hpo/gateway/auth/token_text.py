"""The form of a token: ``<class>_<id>_<secret>_<check>``.

The check digits tell a mistyped or cut token from a wrong one without asking the database, and let tools find tokens in
texts.
"""

from __future__ import annotations

import base64
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """The class of a token."""

    API = "gwt"  # the native API: in the header Authorization
    HOPAAS = "gwh"  # Hopaas: in the path, where it leaks easily, so it may do little


_LETTERS = string.ascii_letters + string.digits
_ID, _SECRET_BYTES = 12, 32
_FORM = re.compile(r"(gwt|gwh)_([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})_([A-Za-z0-9_-]{6})", re.ASCII)
_ANYWHERE = re.compile(r"(gwt|gwh)_([A-Za-z0-9]{12})_[A-Za-z0-9_-]{16,}", re.ASCII)


@dataclass(frozen=True)
class TokenText:
    """A token, which must not be printed but once."""

    kind: Kind
    id: str
    secret: str

    def __repr__(self) -> str:
        return f"TokenText({self.kind.value}_{self.id}_...)"

    def reveal(self) -> str:
        """The token itself."""
        return f"{self.signed}_{_check(self.signed)}"

    @property
    def signed(self) -> str:
        """All but the check digits: what the hash is of."""
        return f"{self.kind.value}_{self.id}_{self.secret}"


def new(kind: Kind) -> TokenText:
    """A fresh token, of 256 random bits."""
    token_id = "".join(secrets.choice(_LETTERS) for _ in range(_ID))
    return TokenText(kind, token_id, secrets.token_urlsafe(_SECRET_BYTES))


def parse(text: str) -> TokenText | None:
    """The token that ``text`` is; None if it is none, or was not copied as a whole."""
    found = _FORM.fullmatch(text)
    if not found:
        return None
    token = TokenText(Kind(found[1]), found[2], found[3])
    return token if _check(token.signed) == found[4] else None


def without_secrets(text: str) -> str:
    """A text in which no token is left: its class and id stay, so that it can be revoked."""
    return _ANYWHERE.sub(r"\1_\2_***", text)


def _check(signed: str) -> str:
    return base64.urlsafe_b64encode(zlib.crc32(signed.encode()).to_bytes(4, "big")).decode()[:6]
