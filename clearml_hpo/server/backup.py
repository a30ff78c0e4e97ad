"""A copy of a data directory in one file, made while its server runs, and a data directory made from it again.

The file is a tar archive: ``store.sqlite3`` as of one moment, ``credentials.json`` and ``server.json`` (so that keys,
tokens and the addresses in links stay valid), and ``files/`` where they were asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from clearml_hpo.core.errors import InputError
from clearml_hpo.server.state import DataDir
from clearml_hpo.server.store.database import check, copy

_DATABASE, _CREDENTIALS, _LISTENING, _FILES = "store.sqlite3", "credentials.json", "server.json", "files"


@dataclass(frozen=True)
class Backup:
    """What was written, or read.

    Attributes:
        size: of the file, in bytes.
        files: how many uploaded files are in it; None where they were left out.
    """

    path: Path
    size: int
    files: int | None


# --- written ----------------------------------------------------------------------------------------------------------


def write(data_dir: Path, path: Path, *, files: bool = False, force: bool = False) -> Backup:
    """Writes what a server remembers to one file, with ``files`` also what was uploaded to it.

    Writers are not kept waiting meanwhile: what was answered before is in the copy, what comes
    later is not. The file appears when it is whole.

    Raises:
        InputError: there is no server's data, or the file exists (``force`` replaces it) or cannot be written.
    """
    data = DataDir(data_dir.absolute())
    if not data.database.exists():
        raise InputError(f"no server was ever started on {data.path}")
    if path.exists() and not force:
        raise InputError(f"{path} exists; another name, or --force to replace it")
    try:
        with _beside(path) as folder:
            whole = folder / "backup"
            number = _pack(data, folder, whole, files)
            _put(whole, path, force)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    return Backup(path, path.stat().st_size, number)


def _pack(data: DataDir, folder: Path, whole: Path, files: bool) -> int | None:
    copy(data.database, folder / _DATABASE)
    (folder / _CREDENTIALS).write_text(json.dumps(asdict(data.credentials()), indent=2))
    listening = data.listening()
    if listening is not None:
        (folder / _LISTENING).write_text(json.dumps(asdict(replace(listening, pid=0, held=False))))
    whole.touch(mode=0o600)
    with tarfile.open(whole, "w", dereference=True) as archive:
        for name in (_DATABASE, _CREDENTIALS, _LISTENING):
            _add(archive, folder / name, name)
        if not files:
            return None
        return sum(_add(archive, each, name) for each, name in _uploaded(data.path / _FILES))


def _uploaded(root: Path) -> Iterator[tuple[Path, str]]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder, name)
            if not path.is_symlink():
                yield path, f"{_FILES}/{path.relative_to(root).as_posix()}"


def _add(archive: tarfile.TarFile, path: Path, name: str) -> bool:
    """Adds a file as it is; returns whether it was there, as it may be deleted meanwhile."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        archive.addfile(archive.gettarinfo(arcname=name, fileobj=file), file)
        return True
    return False


def _put(whole: Path, path: Path, force: bool) -> None:
    if force:
        whole.replace(path)
        return
    try:
        os.link(whole, path)
    except FileExistsError:
        raise InputError(f"{path} was made meanwhile; another name, or --force to replace it") from None


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder for its owner only, on the same disk."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
        yield Path(folder)


# --- read -------------------------------------------------------------------------------------------------------------


def restore(path: Path, data_dir: Path, *, force: bool = False) -> Backup:
    """Makes a data directory of a backup; it appears when it is whole and its database was found sound.

    Raises:
        InputError: the file is no backup, or the directory is not empty; ``force`` replaces it.
        ServerError: a server runs on the directory, or the database is of a newer version.
    """
    data = DataDir(data_dir.absolute())
    is_there = data.path.exists() and any(data.path.iterdir())
    if is_there and not force:
        raise InputError(f"{data.path} is not empty; another --data directory, or --force to replace it")
    data.path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(data.path) as folder:
        number = _unpack(path, folder / "new")
        check(folder / "new" / _DATABASE)
        if not force and data.path.exists() and any(data.path.iterdir()):
            raise InputError(f"{data.path} was made meanwhile; another --data directory, or --force to replace it")
        with data.locked() if data.path.exists() else contextlib.nullcontext():
            _exchange(data.path, folder)
    return Backup(path, path.stat().st_size, number)


def _exchange(path: Path, folder: Path) -> None:
    """Puts ``new`` of ``folder`` in the place of ``path``, which goes with the folder; or leaves all as it was."""
    old = folder / "old"
    try:
        if path.exists():
            path.rename(old)
        (folder / "new").rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise


def _unpack(path: Path, folder: Path) -> int | None:
    folder.mkdir(mode=0o700)
    try:
        with tarfile.open(path) as archive:
            names = [_extract(archive, member, folder) for member in archive]
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path} cannot be read as a backup: {error}") from None
    if not {_DATABASE, _CREDENTIALS} <= set(names):
        raise InputError(f"{path} is no backup of a server: {_DATABASE} or {_CREDENTIALS} is not in it")
    files = sum(name.startswith(f"{_FILES}/") for name in names)
    return files or None


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    parts = PurePosixPath(member.name).parts
    is_known = member.name in (_DATABASE, _CREDENTIALS, _LISTENING) or (len(parts) > 1 and parts[0] == _FILES)
    source: IO[bytes] | None = archive.extractfile(member) if member.isfile() else None
    if source is None or not is_known or ".." in parts:
        raise InputError(f"this is no backup of a server: it has {member.name!r} in it")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with source, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(source, file)
    return member.name
