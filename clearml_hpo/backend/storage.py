"""Files on ClearML's file server and in buckets, through the SDK, which is imported when the first file is wanted."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from clearml_hpo.core.errors import ServerError


def fetch(address: str) -> Path:
    """A local copy of a file.

    Raises:
        ServerError: the storage does not give it.
    """
    try:
        found = _sdk(address).StorageManager.get_local_copy(address, extract_archive=False, force_download=True)
    except Exception as error:  # each storage has errors of its own
        raise ServerError(f"cannot download {address}: {error}") from None
    if not found:
        raise ServerError(f"cannot download {address}")
    return Path(found)


def store(path: Path, uri: str) -> None:
    """Uploads a file.

    Raises:
        ServerError: the storage does not take it.
    """
    try:
        taken = _sdk(uri).StorageManager.upload_file(str(path), uri, retries=1)
    except Exception as error:  # each storage has errors of its own
        raise ServerError(f"cannot upload {path.name} to {uri}: {error}") from None
    if not taken:
        raise ServerError(f"cannot upload {path.name} to {uri}")


def is_within_reach(uri: str) -> bool:
    """True if there are credentials and a package for this storage."""
    return _sdk(uri).helper.StorageHelper.get(uri) is not None


def delete(uri: str) -> None:
    """Deletes a file.

    Raises:
        ServerError: it has to stay.
    """
    try:
        is_done = _sdk(uri).helper.StorageHelper.get(uri).delete(uri, silent=True)
    except Exception as error:  # each storage has errors of its own
        raise ServerError(f"the storage did not delete the file: {error}") from None
    if not is_done:
        raise ServerError("the storage did not delete the file")


def _sdk(uri: str) -> ModuleType:
    if not uri.startswith(("http://", "https://")):
        _read_vault()
    from clearml import storage

    found: ModuleType = storage
    return found


@cache
def _read_vault() -> None:
    """Has the SDK log in: a server may keep the credentials of buckets in a vault."""
    from clearml.backend_api import Session

    Session()
