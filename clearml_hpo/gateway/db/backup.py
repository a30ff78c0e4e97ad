"""The database of SQLite, written to a file while it is in use, and made of such a file again."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.gateway.db.database import Database


def write(database: Path, file: Path, *, force: bool) -> int:
    """Writes the database as it is at one moment; the size in bytes.

    Raises:
        InputError: there is no database, or ``file`` exists and ``force`` is not given, or cannot be written.
        GatewayError: the database cannot be read.
    """
    if not _has_tables(database):
        raise InputError(f"there is no database of the gateway in {database}")
    if file.exists() and not force:
        raise InputError(f"{file} exists already; --force replaces it")
    if not os.access(file.absolute().parent, os.W_OK):
        raise InputError(f"{file} cannot be written: no such folder, or it may not be written to")
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    with contextlib.closing(Database(f"sqlite:///{database}")) as found:
        found.copy_to(new)
    new.replace(file)
    return file.stat().st_size


def restore(file: Path, database: Path, *, force: bool) -> None:
    """Makes the database of the file, which stays as it is; nobody may use the database meanwhile.

    Raises:
        InputError: there is a database and ``force`` is not given, or the file is no database of a gateway.
    """
    if not force and _has_tables(database):
        raise InputError(f"{database} exists already; --force replaces it")
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = database.with_name(f"{database.name}.new")
    new.touch(0o600)
    shutil.copyfile(file, new)
    try:
        with contextlib.closing(Database(f"sqlite:///{new}")) as found:
            if not found.has_tables():
                raise InputError(f"{file} is no database of a gateway")
            found.open()
    except (GatewayError, InputError) as error:
        _remove(new)
        raise InputError(str(error).replace(str(new), str(file))) from None
    _remove(database)
    new.replace(database)


def _has_tables(database: Path) -> bool:
    with contextlib.closing(Database(f"sqlite:///{database}")) as found:
        return found.has_tables()


def _remove(database: Path) -> None:
    """With what SQLite has written beside it."""
    for end in ("", "-wal", "-shm"):
        database.with_name(f"{database.name}{end}").unlink(missing_ok=True)
