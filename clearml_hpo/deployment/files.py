"""Renders the files of a deployment and writes them, over nothing that differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearml_hpo.core.errors import InputError


def render(template: str, /, **values: Any) -> str:
    """A template of this package with values in it, such as ``kubernetes/base/worker.yaml.j2``."""
    from clearml_hpo.core.templating import text_environment  # loads Jinja

    return text_environment("clearml_hpo.deployment").get_template(template).render(values)


def write(texts: Mapping[str, str], folder: Path, *, force: bool = False) -> dict[str, str]:
    """Writes texts by file name, which may have folders in it; a shell script may then be run.

    Args:
        texts: what is to be there.
        folder: where; made if there is none.
        force: overwrite files that differ.

    Returns:
        What was done, by file name: ``new``, ``changed`` or ``unchanged``.

    Raises:
        InputError: a file is there with another content and ``force`` is not given, or it cannot be written. Nothing
            is written if a file differs.
    """
    before = {name: read_if_there(folder / name) for name in texts}
    differ = [name for name, text in before.items() if text not in (None, texts[name])]
    if differ and not force:
        raise InputError(f"{folder}: {', '.join(differ)} differs from what would be written; --force overwrites")
    done = {}
    for name, text in texts.items():
        done[name] = "new" if before[name] is None else "changed" if name in differ else "unchanged"
        if done[name] != "unchanged":
            _write(folder / name, text)
    return done


def read_if_there(path: Path) -> str | None:
    """The text of a file; None if there is none."""
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(path.stat().st_mode | 0o111)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
