"""Requests that come twice with one key: the second gets the answer of the first.

An answer is kept in the transaction of what it tells of, so that no crash comes in between.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.db.columns import Now, insert_if_new
from clearml_hpo.gateway.db.tables import idempotency

_KEPT_S = 86_400
"""How long an answer is kept for a request that comes again with its key."""


class OtherBodyError(InputError):
    """The key was used with another body."""

    def __init__(self) -> None:
        super().__init__("Idempotency-Key: it was used with another request; each request has its own")


class KeptMeanwhileError(Exception):
    """The same request has come twice at the same time: this one's transaction must not be committed."""


@dataclass(frozen=True)
class Kept:
    """An answer: HTTP status and body."""

    status: int
    answer: str


def find(connection: sa.Connection, token: str, key: str, body: bytes) -> Kept | None:
    """The answer that was given for this key; None if it is new.

    Raises:
        OtherBodyError: it was given for another body.
    """
    query = sa.select(idempotency.c.body_hash, idempotency.c.status, idempotency.c.answer).where(
        idempotency.c.token == token, idempotency.c.key == _hash(key.encode()), idempotency.c.expires > Now()
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.body_hash != _hash(body):
        raise OtherBodyError
    return Kept(row.status, row.answer)


def keep(connection: sa.Connection, token: str, key: str, body: bytes, kept: Kept) -> None:
    """Keeps an answer.

    Raises:
        KeptMeanwhileError: another one is there; roll back, and :func:`find` it.
    """
    hashed = _hash(key.encode())  # a client may send anything, also a token
    same = (idempotency.c.token == token) & (idempotency.c.key == hashed)
    connection.execute(sa.delete(idempotency).where(same, idempotency.c.expires <= Now()))
    values = {
        "token": token,
        "key": hashed,
        "body_hash": _hash(body),
        "status": kept.status,
        "answer": kept.answer,
        "expires": Now() + _KEPT_S,
    }
    if not insert_if_new(connection, idempotency, values):
        raise KeptMeanwhileError(key)


def forget(connection: sa.Connection) -> int:
    """Removes answers that are too old; returns how many."""
    return connection.execute(sa.delete(idempotency).where(idempotency.c.expires <= Now())).rowcount


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
