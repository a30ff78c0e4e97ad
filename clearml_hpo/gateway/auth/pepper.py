"""The key of the hashes of tokens: without it, a copy of the database is of no use to guess a token."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.gateway.auth.token_text import TokenText
from clearml_hpo.machine import settings

VARIABLE = "CLEARML_HPO_GATEWAY_PEPPER"
"""The variable that may hold the key, in place of the file."""
_SHORTEST = 32  # characters


class Pepper:
    """The key."""

    def __init__(self, key: str) -> None:
        """Raises InputError: it is too short."""
        if len(key) < _SHORTEST:
            raise InputError(
                f"the key of the tokens' hashes has {len(key)} characters; at least {_SHORTEST} are needed"
            )
        self._key = key.encode()

    @classmethod
    def load(cls, file: Path) -> Pepper:
        """The key of the variable, or of the file, which is made at first use, for its owner only.

        Raises:
            InputError: the key is too short.
            GatewayError: others may read the file, or it cannot be read or made.
        """
        if given := settings.secret(VARIABLE):
            return cls(given)
        try:
            _make(file)
            if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise GatewayError(f"{file} can be read by other users; run: chmod 600 {file}")
            return cls(file.read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            raise GatewayError(f"{file} cannot be used: {error}") from None

    def hash(self, token: TokenText) -> str:
        """What the database keeps of a token: 64 hexadecimal digits."""
        return hmac.new(self._key, token.signed.encode(), hashlib.sha256).hexdigest()

    def derive(self, what: str) -> str:
        """A secret that only who has this key can know, for each ``what``: 64 hexadecimal digits."""
        return hmac.new(self._key, f"derived {what}".encode(), hashlib.sha256).hexdigest()


def _make(file: Path) -> None:
    """Of two processes that start at once, the key of one counts; none reads half a file."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as made:
        made.write(f"{secrets.token_urlsafe(48)}\n")
    with contextlib.suppress(FileExistsError):
        os.link(temporary, file)
    temporary.unlink()
