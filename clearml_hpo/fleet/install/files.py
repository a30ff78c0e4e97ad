"""Writing the files: only what differs, and nothing over what a user has written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.core.errors import AgentError, InputError
from clearml_hpo.deployment.files import read_if_there
from clearml_hpo.fleet.install.render import MARKER


@dataclass(frozen=True)
class Change:
    """One file: what is there, and what is to be.

    Attributes:
        before: the text that is there; None if there is no such file.
        after: the text that is to be.
    """

    path: Path
    before: str | None
    after: str

    @property
    def word(self) -> str:
        """``new``, ``changed`` or ``unchanged``."""
        return "new" if self.before is None else "unchanged" if self.before == self.after else "changed"

    @property
    def is_foreign(self) -> bool:
        """Whether the file that is there was not written by this command."""
        return self.before is not None and not _is_ours(self.before)


def compare(place: Path, texts: Mapping[str, str], *, force: bool = False) -> list[Change]:
    """What there is to do in a folder.

    Raises:
        InputError: a file is there that was not written by this command, and ``force`` is not given.
    """
    changes = [Change(place / name, read_if_there(place / name), text) for name, text in texts.items()]
    if not force and (foreign := [change.path.name for change in changes if change.is_foreign]):
        raise InputError(
            f"{place}: {', '.join(foreign)} was not written by this command; "
            "--force overwrites, --directory DIR writes elsewhere"
        )
    return changes


def write(changes: Iterable[Change]) -> None:
    """Does it; a file is there as a whole or not at all.

    Raises:
        AgentError: a file cannot be written.
    """
    for change in changes:
        if change.word == "unchanged":
            continue
        try:
            _replace(change.path, change.after)
        except OSError as error:
            raise AgentError(
                f"{change.path} cannot be written: {error.strerror}; "
                "run it with sudo, or write elsewhere: --directory DIR"
            ) from None


def ours(place: Path, names: Sequence[str]) -> list[Path]:
    """Those of the files that this command has written."""
    return [place / name for name in names if _is_ours(read_if_there(place / name) or "")]


def remove(paths: Iterable[Path]) -> None:
    """Removes files.

    Raises:
        AgentError: one cannot be removed.
    """
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            raise AgentError(f"{path} cannot be removed: {error.strerror}; run it with sudo") from None


def _is_ours(text: str) -> bool:
    return MARKER in text.partition("\n")[0]


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(text)
    written = Path(file.name)
    written.chmod(0o644)
    written.replace(path)
