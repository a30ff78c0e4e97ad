"""The key pairs of a data directory, whether or not its server runs: added, listed, revoked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.server import clock as time
from clearml_hpo.server.credentials import new_key_pair
from clearml_hpo.server.state import DataDir
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.keys import Key, Keys

OWNER = "owner"


@dataclass(frozen=True)
class KeyPair:
    """A key pair with its secret, which cannot be read again."""

    label: str
    access_key: str
    secret_key: str


def add(data_dir: Path, label: str) -> KeyPair:
    """Adds a key pair; a data directory that is not there yet is made.

    Raises:
        InputError: the label is empty, or in use.
    """
    label = label.strip()
    if not label or not label.isprintable() or label == OWNER:
        raise InputError(f"{label!r} is no label for a key pair: a name such as 'ci', and not {OWNER!r}")
    data = DataDir(data_dir.absolute())
    data.make()
    pair = KeyPair(label, *new_key_pair())
    with _keys(data) as keys:
        keys.add(label, pair.access_key, pair.secret_key)
    return pair


def listed(data_dir: Path) -> list[Key]:
    """All key pairs, the owner's first, the revoked ones too."""
    data = _existing(data_dir)
    with _keys(data) as keys:
        return [_owners(data), *keys.all()]


def revoke(data_dir: Path, name: str) -> Key:
    """Revokes the key pair of this access key or label, and all tokens that were given out for it.

    Raises:
        InputError: there is no such pair, or it is the owner's.
    """
    data = _existing(data_dir)
    owners = _owners(data)
    if name in (owners.access_key, owners.label):
        raise InputError(
            f"{name} is the pair of this directory's owner, which is not revoked but made anew: "
            f"stop the server, remove {data.credentials_file}, and start it again"
        )
    with _keys(data) as keys:
        found = keys.revoke(name)
        if found is None:
            known = [each for key in keys.all() for each in (key.label, key.access_key)]
            raise InputError(f"no key pair has the access key or label {name!r}{nearest(name, known)}")
        return found


def _owners(data: DataDir) -> Key:
    credentials = data.credentials()
    made = datetime.fromtimestamp(data.credentials_file.stat().st_mtime, timezone.utc)
    return Key(credentials.access_key, OWNER, time.stored(made), None, None)


def _existing(data_dir: Path) -> DataDir:
    data = DataDir(data_dir.absolute())
    if not data.database.exists():
        raise InputError(f"no server was ever started on {data.path}")
    return data


@contextlib.contextmanager
def _keys(data: DataDir) -> Iterator[Keys]:
    with contextlib.closing(Database(data.database)) as database:
        yield Keys(database, time.utc_now)
