"""Where the gateway keeps what it needs: its folder, its database, the key of its tokens."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.db import Database
from clearml_hpo.machine import settings

DATABASE = "CLEARML_HPO_GATEWAY_DATABASE"
"""The variable with the URL of the database."""


def folder() -> Path:
    """The gateway's own folder: ``gateway/`` in the state directory (``CLEARML_HPO_HOME``)."""
    return settings.load().home / "gateway"


def database(url: str | None = None) -> Database:
    """The database that ``url`` or the environment names; without either a file of SQLite in the folder.

    Raises:
        InputError: the URL cannot be read, or has a password although it was given as an option.
    """
    if url is not None and _has_password(url):
        raise InputError(f"--database: other users can see the password; give the URL in the variable {DATABASE}")
    return Database(url or settings.secret(DATABASE) or f"sqlite:///{folder() / 'gateway.sqlite3'}")


def pepper() -> Pepper:
    """The key of the tokens' hashes, made at first use. Raises InputError and GatewayError."""
    return Pepper.load(folder() / "pepper")


def _has_password(url: str) -> bool:
    try:
        return make_url(url).password is not None
    except (ArgumentError, ValueError):
        return False
