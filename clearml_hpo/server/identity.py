"""Who this server's company and users are: one company; one user for the server's own key, others by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

COMPANY_ID = "d1bd92a3b039400cbafc60a7a5b1e52b"  # the identifier every open ClearML server uses
COMPANY_NAME = "clearml"
USER_ID = "local"
USER_NAME = "Local User"

SERVER_VERSION = "2.3.0"
API_VERSION = "2.34"

_caller: ContextVar[str] = ContextVar("caller", default=USER_ID)


def caller() -> str:
    """The id of the user on whose behalf something is done now."""
    return _caller.get()


@contextlib.contextmanager
def acting_for(user: str) -> Iterator[None]:
    """What is done inside is done on behalf of ``user``."""
    token = _caller.set(user)
    try:
        yield
    finally:
        _caller.reset(token)
