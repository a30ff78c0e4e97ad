"""The folder of a script on this machine.

Each run has a folder of its own: two trials that write ``best.pt`` in one folder would read each other's. In it lie the
script's files as they were when the template was made, and links to all else that lies beside them on this machine:
data, ``.git``. Files that the script writes are left out, so that no run overwrites those of another one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from clearml_hpo.scripts.code import Code

_MOST_WRITTEN = 100
_NOT_SHOWN = {"__pycache__"}


@dataclass(frozen=True)
class Place:
    """Where the files of a script are, on the machine from which its template was made.

    Attributes:
        host: name of the machine.
        folder: what a run sees around the script, an absolute path.
        root: from there, the folder that the names of the script's files are relative to.
        directory: from the root, the working directory.
        script: from the root, the script; empty for a module.
        written: names of files and folders that the script writes.
    """

    host: str
    folder: str
    root: str
    directory: str
    script: str
    written: Sequence[str] = ()

    @classmethod
    def of(cls, code: Code) -> Place:
        """The place of a script on this machine."""
        script = code.entry.script
        return cls(
            host=socket.gethostname(),
            folder=str(code.place),
            root=code.root.relative_to(code.place).as_posix(),
            directory=code.directory,
            script=script.relative_to(code.root).as_posix() if script is not None else "",
            written=sorted(code.written)[:_MOST_WRITTEN],
        )

    @classmethod
    def read(cls, text: str) -> Place | None:
        """What :meth:`__str__` has written, if it is a place of this machine that is still there; else None."""
        with suppress(ValueError, TypeError):
            place = cls(**json.loads(text))
            inner = PurePosixPath(place.root, place.directory)
            if place.host == socket.gethostname() and ".." not in inner.parts and Path(place.folder, inner).is_dir():
                return place
        return None

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def show_around(place: Place, names: Iterable[str], folder: Path) -> None:
    """Links into ``folder`` what lies in the place and is no file of the script.

    Args:
        names: the script's files, relative to the root.
        folder: shows the place's folder; the script's files are in it already, or will be.
    """
    root = PurePosixPath(place.root)
    files = {root / name for name in names}
    starts = [root / place.directory, (root / place.script).parent]
    written = {each for start in starts for text in place.written for each in _within(start / text)}
    folders = [each / "_" for each in written if (Path(place.folder) / each).is_dir()]
    inner = {parent for file in (*files, root / place.directory / "_", *folders) for parent in file.parents}
    own_names = {PurePosixPath(text).name for text in place.written}
    for relative in sorted(inner):
        here = folder / relative
        here.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # a folder of the script alone, or one that may not be read
            for entry in os.scandir(Path(place.folder) / relative):
                own = relative / entry.name
                is_written = entry.name in own_names and entry.is_file()
                if own not in inner and own not in files and entry.name not in _NOT_SHOWN and not is_written:
                    (here / entry.name).symlink_to(entry.path)


def _within(path: PurePosixPath) -> Sequence[PurePosixPath]:
    """The path itself and the folders above it, if it leads to nowhere else."""
    return [] if path.is_absolute() or ".." in path.parts else [path, *path.parents]
