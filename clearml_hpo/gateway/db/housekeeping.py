"""What the database does not keep for ever: what is in ClearML too, and what people and machines are known by."""

from __future__ import annotations

import threading
from collections.abc import Callable

import sqlalchemy as sa

from clearml_hpo.core.errors import GatewayError
from clearml_hpo.gateway.db import answers, audit, handouts, idempotency, sessions
from clearml_hpo.gateway.db.database import Database

_ANSWERED_S = 7 * 86_400
"""Reports of ended trials are kept for this long; their scalars are in ClearML."""
_KNOWN_S = 90 * 86_400
"""Addresses, and what workers said of themselves, are kept for this long."""
_PERIOD_S = 3_600
"""How often it is tidied up."""

_RULES: tuple[Callable[[sa.Connection], int], ...] = (
    lambda connection: answers.forget(connection, _ANSWERED_S),
    lambda connection: handouts.forget_workers(connection, _KNOWN_S),
    lambda connection: audit.forget_addresses(connection, _KNOWN_S),
    idempotency.forget,
    sessions.forget,
)


def tidy(database: Database) -> int:
    """Removes what is too old, rule by rule; returns how many rows. Raises GatewayError: the database is away."""
    removed = 0
    for rule in _RULES:
        with database.write() as connection:
            removed += rule(connection)
    return removed


def keep_tidy(database: Database, stopped: threading.Event, on_note: Callable[[str], object]) -> None:
    """Tidies up now and once an hour, until ``stopped``."""
    while not stopped.is_set():
        try:
            tidy(database)
        except GatewayError as error:
            on_note(f"old rows are removed later: {error}")
        stopped.wait(_PERIOD_S)
