"""Key pairs that were added for other users, machines and jobs. A secret is shown once and kept as a salted hash."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import timedelta

from clearml_hpo.core.errors import InputError
from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database

_NOTED_EVERY = timedelta(minutes=1)
_COST = 14  # scrypt's n as a power of two; 8 blocks: 16 MiB


@dataclass(frozen=True)
class Key:
    """A key pair without its secret.

    Attributes:
        last_used: when a call was last made with it, to the minute; None if none was.
        revoked: when it was revoked; None while it is in use.
    """

    access_key: str
    label: str
    created: str
    last_used: str | None
    revoked: str | None


class Keys:
    """The key pairs of the store; that of the data directory's owner is in a file of theirs instead."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock
        # A hash takes long on purpose. That a secret fits one is remembered, under a key that only this process has.
        self._own = secrets.token_bytes(32)
        self._checked: set[tuple[str, bytes]] = set()

    def add(self, label: str, access_key: str, secret_key: str) -> None:
        """Adds a pair.

        Raises:
            InputError: there is one with this label that is not revoked.
        """
        with self._db.transaction():
            if self._db.row("SELECT 1 FROM key_pairs WHERE label = ? AND revoked IS NULL", (label,)):
                raise InputError(
                    f"there is a key pair labelled {label!r} already; revoke it first, or use another label"
                )
            self._db.execute(
                "INSERT INTO key_pairs (access_key, label, secret_hash, created) VALUES (?, ?, ?, ?)",
                (access_key, label, _hashed(secret_key), time.stored(self._clock())),
            )

    def all(self) -> list[Key]:
        """All pairs, the revoked ones too, in order of creation."""
        columns = ", ".join(Key.__dataclass_fields__)
        rows = self._db.rows(f"SELECT {columns} FROM key_pairs ORDER BY created, access_key")
        return [Key(*row) for row in rows]

    def revoke(self, name: str) -> Key | None:
        """Revokes the pair of this access key or label; one that is revoked stays so. None: there is no such pair."""
        with self._db.transaction():
            found = [key for key in self.all() if name in (key.access_key, key.label)]
            if not found:
                return None
            in_use = [key for key in found if key.revoked is None]
            for key in in_use:
                now = time.stored(self._clock())
                self._db.execute("UPDATE key_pairs SET revoked = ? WHERE access_key = ?", (now, key.access_key))
            return (in_use or found)[-1]

    def fits(self, access_key: str, secret_key: str) -> bool:
        """Whether this is one of the pairs, and not revoked."""
        row = self._db.row("SELECT secret_hash FROM key_pairs WHERE access_key = ? AND revoked IS NULL", (access_key,))
        if row is None:
            return False
        seen = (row["secret_hash"], hmac.digest(self._own, secret_key.encode(), "sha256"))
        if seen not in self._checked:
            if not _matches(secret_key, row["secret_hash"]):
                return False
            self._checked.add(seen)
        return self.is_in_use(access_key)

    def is_in_use(self, access_key: str) -> bool:
        """Whether there is such a pair and it is not revoked; notes that it was used."""
        row = self._db.row("SELECT last_used FROM key_pairs WHERE access_key = ? AND revoked IS NULL", (access_key,))
        if row is None:
            return False
        now = self._clock()
        if row["last_used"] is None or now - time.parse(row["last_used"]) >= _NOTED_EVERY:
            # A full disk is no reason to refuse what is only read.
            with contextlib.suppress(sqlite3.OperationalError), self._db.transaction():
                self._db.execute(
                    "UPDATE key_pairs SET last_used = ? WHERE access_key = ?", (time.stored(now), access_key)
                )
        return True


def _hashed(secret_key: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${_COST}${salt.hex()}${_scrypt(secret_key, salt, _COST).hex()}"


def _matches(secret_key: str, kept: str) -> bool:
    _, cost, salt, known = kept.split("$")
    return hmac.compare_digest(_scrypt(secret_key, bytes.fromhex(salt), int(cost)), bytes.fromhex(known))


def _scrypt(secret_key: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(secret_key.encode(), salt=salt, n=2**cost, r=8, p=1, maxmem=2**26, dklen=32)
