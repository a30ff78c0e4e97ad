"""How a training script is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A script or module, as a shell in ``directory`` would start it: ``launcher script arguments``.

    Attributes:
        script: its file; None for a module.
        module: its dotted name, as ``python -m`` takes it; empty for a script.
        directory: the working directory, an absolute path.
        arguments: of the script itself; hyperparameters come from the task.
        files: files and folders that belong to the script although its sources do not name them; absolute paths.
        launcher: the command that starts the script, such as ``torchrun --nproc-per-node 2``; empty for Python.
    """

    script: Path | None
    directory: Path
    module: str = ""
    arguments: Sequence[str] = ()
    files: Sequence[Path] = ()
    launcher: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What its template is called: the name of the file, or the last part of the module's."""
        return self.script.stem if self.script is not None else self.module.rpartition(".")[2]

    def __str__(self) -> str:
        return self.script.name if self.script is not None else self.module
