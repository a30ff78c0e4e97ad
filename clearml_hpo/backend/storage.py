"""Stored files: on ClearML's file server, or in buckets through the SDK, which is imported when the first is wanted."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

from clearml_hpo.backend.api import Api
from clearml_hpo.core.errors import ServerError


def fetch(api: Api, address: str, path: Path) -> None:
    """Downloads a file.

    Raises:
        ServerError: the storage does not give it, or the address is of none: any writer to a task chooses it.
    """
    if _is_on_server(address):
        return api.file_server.fetch(address, path)
    api.file_server.check(address)
    try:
        found = _sdk().StorageManager.get_local_copy(address, extract_archive=False, force_download=True)
    except Exception as error:  # each storage has errors of its own
        raise ServerError(f"cannot download {address}: {error}") from None
    if not found:
        raise ServerError(f"cannot download {address}")
    shutil.copyfile(found, path)


def store(api: Api, address: str, content: bytes) -> None:
    """Uploads a file.

    Raises:
        ServerError: the storage does not take it.
    """
    if _is_on_server(address):
        return api.file_server.store(address, content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / address.rpartition("/")[2]
        path.write_bytes(content)
        try:
            taken = _sdk().StorageManager.upload_file(str(path), address, retries=1)
        except Exception as error:  # each storage has errors of its own
            raise ServerError(f"cannot upload {address}: {error}") from None
    if not taken:
        raise ServerError(f"cannot upload {address}")


def size(api: Api, address: str) -> int | None:
    """Bytes of a file, 0 if that cannot be said, as in a bucket; None if it is not there.

    Raises:
        ServerError: the storage does not say, or is out of reach.
    """
    if _is_on_server(address):
        return api.file_server.size(address)
    api.file_server.check(address)
    if _sdk().helper.StorageHelper.get(address) is None:
        raise ServerError("there are no credentials for this storage, or no package for it")
    return 0


def delete(api: Api, address: str) -> None:
    """Deletes a file.

    Raises:
        ServerError: it has to stay, or the address is of no storage.
    """
    if _is_on_server(address):
        return api.file_server.delete(address)
    api.file_server.check(address)
    try:
        is_done = _sdk().helper.StorageHelper.get(address).delete(address, silent=True)
    except Exception as error:  # each storage has errors of its own
        raise ServerError(f"the storage did not delete the file: {error}") from None
    if not is_done:
        raise ServerError("the storage did not delete the file")


def _is_on_server(address: str) -> bool:
    return address.startswith(("http://", "https://"))


@cache
def _sdk() -> ModuleType:
    """Logged in: a server may keep the credentials of buckets in a vault."""
    from clearml import storage
    from clearml.backend_api import Session

    Session()
    found: ModuleType = storage
    return found
