"""The folder of a script on this machine.

Each run has a folder of its own: two trials that write ``best.pt`` in one folder would read each other's. In it lie the
script's files as they were when the template was made, and links to all else that lies beside them on this machine:
data, ``.git``, outputs of earlier runs.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from clearml_hpo.scripts.code import Code

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
    """

    host: str
    folder: str
    root: str
    directory: str
    script: str

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
    inner = {parent for file in (*files, root / place.directory / "_") for parent in file.parents}
    for relative in sorted(inner):
        here = folder / relative
        here.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # a folder of the script alone, or one that may not be read
            for entry in os.scandir(Path(place.folder) / relative):
                own = relative / entry.name
                if own not in inner and own not in files and entry.name not in _NOT_SHOWN:
                    (here / entry.name).symlink_to(entry.path)
