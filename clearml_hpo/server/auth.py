"""Who may call: a key pair made at first start, and tokens signed with a key of this server's own."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import json
import os
import secrets
import string
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt

from clearml_hpo.errors import ServerError
from clearml_hpo.server import identity
from clearml_hpo.server.clock import Clock, utc_now
from clearml_hpo.server.errors import ApiRefusal, Refusal

TOKEN_LIFE = timedelta(days=30)
_ALGORITHM = "HS256"
_REMEMBERED = 1024


@dataclass(frozen=True)
class Credentials:
    """A key pair for clients, and the key that signs tokens."""

    access_key: str
    secret_key: str
    token_secret: str

    @classmethod
    def generate(cls) -> Credentials:
        """Fresh keys in the form of ClearML's."""
        letters = string.ascii_uppercase + string.digits
        access_key = "".join(secrets.choice(letters) for _ in range(20))
        return cls(access_key, secrets.token_urlsafe(36), secrets.token_urlsafe(48))

    @classmethod
    def load_or_make(cls, path: Path) -> Credentials:
        """Reads the file of keys, which is made at first start, for its owner only."""
        if not path.exists():
            # Of two that start at once, the keys of one count; nobody reads half a file.
            temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(cls.generate()), file, indent=2)
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
            temporary.unlink()
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise ServerError(
                f"{path} does not hold this server's keys ({error}); remove it to make new ones"
            ) from None


class Authority:
    """Checks key pairs and issues and checks tokens."""

    def __init__(self, credentials: Credentials, clock: Clock = utc_now) -> None:
        self._credentials = credentials
        self._clock = clock
        self._checked: dict[str, dict[str, Any]] = {}

    def login(self, authorization: str | None, *, expiration_s: int | None = None) -> str:
        """A token for the key pair of an HTTP Basic header, or for the bearer of a valid token."""
        scheme, _, value = (authorization or "").partition(" ")
        user = identity.USER_ID
        if not value:
            raise ApiRefusal(Refusal.NO_CREDENTIALS)
        if scheme.lower() == "bearer":
            user = self.user_of(value)
        elif not self._is_ours(*_key_pair(value)):
            raise ApiRefusal(Refusal.INVALID_CREDENTIALS, "failed to locate provided credentials")
        return self.issue(expiration_s, user=user)

    def _is_ours(self, access_key: str, secret_key: str) -> bool:
        known = self._credentials
        given, ours = f"{access_key}:{secret_key}", f"{known.access_key}:{known.secret_key}"
        return hmac.compare_digest(given.encode(), ours.encode())

    def issue(self, expiration_s: int | None = None, *, user: str = identity.USER_ID) -> str:
        """A token that says what clients read in it."""
        now = self._clock()
        longest = int(TOKEN_LIFE.total_seconds())
        life = min(expiration_s, longest) if expiration_s and expiration_s > 0 else longest
        payload = {
            "iat": now,
            "exp": now + timedelta(seconds=life),
            "auth_type": "Bearer",
            "identity": {
                "user": user,
                "user_name": identity.USER_NAME if user == identity.USER_ID else user,
                "company": identity.COMPANY_ID,
                "company_name": identity.COMPANY_NAME,
                "role": "user",
            },
            "env": "<unknown>",
            "api_version": identity.API_VERSION,
            "server_version": identity.SERVER_VERSION,
            "server_build": "",
            "feature_set": "basic",
        }
        return jwt.encode(payload, self._credentials.token_secret, _ALGORITHM)

    def check_header(self, authorization: str | None) -> str:
        """The id of the calling user; refuses a call without a valid bearer token."""
        if not authorization:
            raise ApiRefusal(Refusal.NO_CREDENTIALS)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "basic":
            self.login(authorization)
            return identity.USER_ID
        return self.user_of(token.strip())

    def user_of(self, token: str) -> str:
        """The id of the user whom a token stands for; refuses one that is not ours or has expired."""
        return str(self.check(token)["identity"]["user"])

    def check(self, token: str) -> dict[str, Any]:
        """What a token says; refuses one that is not ours or has expired."""
        known = self._checked.get(token)
        if known is None:
            known = self._decode(token)
            if len(self._checked) >= _REMEMBERED:
                self._checked.clear()
            self._checked[token] = known
        if known["exp"] <= self._clock().timestamp():
            raise ApiRefusal(Refusal.INVALID_TOKEN, "expired jwt token", reason="Signature has expired")
        return known

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = jwt.decode(
                token,
                self._credentials.token_secret,
                algorithms=[_ALGORITHM],
                options={"verify_exp": False, "verify_iat": False, "require": ["exp"]},
            )
        except (jwt.PyJWTError, UnicodeError) as error:
            raise ApiRefusal(Refusal.INVALID_TOKEN, "invalid jwt token", reason=error) from None
        return found


def _key_pair(encoded: str) -> tuple[str, str]:
    try:
        access_key, _, secret_key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return access_key, secret_key
