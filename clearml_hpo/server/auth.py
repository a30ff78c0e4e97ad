"""Who may call: the owner's key pair, made at first start, those added later, and tokens signed by this server.

The owner's pair is in a file of the data directory that only its owner can read, because commands of theirs need it;
it is not revoked but made anew where the file is removed. A token says of which pair it is, and ends with it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt

from clearml_hpo.server import identity
from clearml_hpo.server.clock import Clock, utc_now
from clearml_hpo.server.credentials import Credentials
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.keys import Keys

TOKEN_LIFE = timedelta(days=30)
_ALGORITHM = "HS256"
_LONGEST_S = 31_536_000
"""Longest life of a token that a client asks for: a year."""
_REMEMBERED = 1024


@dataclass(frozen=True)
class Caller:
    """On whose behalf a call is made.

    Attributes:
        access_key: of the key pair by which it is made; empty: the owner's.
        user: the id of the user; empty where a token is not needed and none was sent.
        role: what the caller may do: "user", or "system" for the server's own parts.
    """

    access_key: str = ""
    user: str = identity.USER_ID
    role: str = "user"

    def check_role(self, *allowed: str) -> None:
        """Refuses a caller of another role."""
        if self.role not in allowed:
            raise ApiRefusal(Refusal.FORBIDDEN, role=self.role, allowed=f"({', '.join(allowed)})")


SYSTEM = "system"
OWNER = Caller()
NOBODY = Caller(user="")


class Authority:
    """Checks key pairs and issues and checks tokens."""

    def __init__(self, credentials: Credentials, clock: Clock = utc_now, keys: Keys | None = None) -> None:
        self._credentials = credentials
        self._keys = keys
        self._clock = clock
        self._checked: dict[str, dict[str, Any]] = {}

    def login(self, authorization: str | None, *, expiration_s: int | None = None) -> str:
        """A token for the key pair of an HTTP Basic header, or for the bearer of a valid token."""
        if not (authorization or "").partition(" ")[2]:
            raise ApiRefusal(Refusal.NO_CREDENTIALS)
        return self.issue(expiration_s, caller=self.check_header(authorization))

    @property
    def access_key(self) -> str:
        """The owner's."""
        return self._credentials.access_key

    def _key_of_pair(self, encoded: str) -> str:
        access_key, secret_key = _key_pair(encoded)
        if not (self._is_owners(access_key, secret_key) or (self._keys and self._keys.fits(access_key, secret_key))):
            raise ApiRefusal(Refusal.INVALID_CREDENTIALS, "failed to locate provided credentials")
        return access_key

    def _is_owners(self, access_key: str, secret_key: str) -> bool:
        known = self._credentials
        given, owners = f"{access_key}:{secret_key}", f"{known.access_key}:{known.secret_key}"
        return hmac.compare_digest(given.encode(), owners.encode())

    def issue(self, expiration_s: int | None = None, *, caller: Caller = OWNER) -> str:
        """A token that says what clients read in it."""
        now = self._clock()
        life = max(int(expiration_s or TOKEN_LIFE.total_seconds()), -_LONGEST_S)
        if life > _LONGEST_S:
            detail = f"error for field 'expiration_sec': '{life}' is bigger than maximum ('{_LONGEST_S}')."
            raise ApiRefusal(Refusal.VALIDATION, detail)
        payload = {
            "iat": now,
            "exp": now + timedelta(seconds=life),
            "auth_type": "Bearer",
            "identity": {
                "user": caller.user,
                "user_name": identity.USER_NAME if caller.user == identity.USER_ID else caller.user,
                "company": identity.COMPANY_ID,
                "company_name": identity.COMPANY_NAME,
                "role": caller.role,
            },
            "session_id": caller.access_key or self._credentials.access_key,
            "env": "<unknown>",
            "api_version": identity.API_VERSION,
            "server_version": identity.SERVER_VERSION,
            "server_build": "",
            "feature_set": "basic",
        }
        return jwt.encode(payload, self._credentials.token_secret, _ALGORITHM)

    def check_header(self, authorization: str | None) -> Caller:
        """Who calls; refuses a call without a valid token or key pair."""
        if not authorization:
            raise ApiRefusal(Refusal.NO_CREDENTIALS)
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            return Caller(self._key_of_pair(value))
        if scheme.lower() != "bearer":
            raise ApiRefusal(Refusal.BAD_AUTHENTICATION)
        return self.caller_of(value.strip())

    def caller_of(self, token: str) -> Caller:
        """Whom a token stands for; refuses one that is not ours, has expired, or whose key pair is revoked."""
        claims = self.check(token)
        about = claims["identity"]
        return Caller(self._access_key(claims), str(about["user"]), str(about["role"]))

    def _access_key(self, claims: dict[str, Any]) -> str:
        # Tokens of older versions of this server have it under another name.
        return str(claims.get("session_id") or claims.get("access_key", self._credentials.access_key))

    def check(self, token: str) -> dict[str, Any]:
        """What a token says; refuses one that is not ours, has expired, or whose key pair is revoked."""
        known = self._checked.get(token)
        if known is None:
            known = self._decode(token)
            if len(self._checked) >= _REMEMBERED:
                self._checked.clear()
            self._checked[token] = known
        if known["exp"] <= self._clock().timestamp():
            raise ApiRefusal(Refusal.INVALID_TOKEN, "expired jwt token", reason="Signature has expired")
        access_key = self._access_key(known)
        if access_key != self._credentials.access_key and not (self._keys and self._keys.is_in_use(access_key)):
            raise ApiRefusal(Refusal.INVALID_TOKEN, "revoked", reason="its key pair is revoked")
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
