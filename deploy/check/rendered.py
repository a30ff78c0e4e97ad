"""The files are what ``clearml-hpo deploy`` writes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from deploy.check import Report
from deploy.render import COMMANDS, render


def check(folder: Path) -> Report:
    """Compares each folder of a kind with what the command writes now."""
    with tempfile.TemporaryDirectory() as temporary:
        render(Path(temporary))
        wanted, found = [
            {path.relative_to(top).as_posix(): path.read_text() for kind in COMMANDS for path in files(top / kind)}
            for top in (Path(temporary), folder)
        ]
    differ = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    return Report(
        f"{len(wanted)} files are what `clearml-hpo deploy` writes",
        [f"{name}: not what `clearml-hpo deploy` writes; python -m deploy.render" for name in differ],
    )


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
