"""Starts a training script that consists of several files; made by clearml-hpo.

The files are an archive on the file server: the artifact "code" of this task's template. They are unpacked beside this
file, and the script starts among them, as by hand.
"""

# It runs where only ClearML's SDK is installed: it imports nothing of this project.
from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLAN = "{}"
STARTUP = ".clearml-hpo"  # folder of the archive with what Python runs when it starts


def names(content: bytes) -> list[str]:
    """The files of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist()


def unpack(content: bytes, folder: Path) -> None:
    """Writes the files of an archive into a folder; raises ValueError for a name that leads out of it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"the archive has a file {name!r}")
        archive.extractall(folder)


def command(plan: dict[str, Any]) -> list[str]:
    """The words that start the script; raises FileNotFoundError if there is no such launcher here."""
    if not plan["launcher"]:
        return [sys.executable, "-u", *plan["words"]]
    first, *others = plan["launcher"]
    if Path(first).name in ("python", "python3"):
        return [sys.executable, *others, *plan["words"]]
    beside = str(Path(sys.executable).parent)
    found = shutil.which(first, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise FileNotFoundError(f"template.launcher: no command {first!r} on this machine")
    return [found, *others, *plan["words"]]


def search_path(plan: dict[str, Any], folder: Path, before: str) -> str:
    """PYTHONPATH of the script: the folders of its own modules, then those of ``before``."""
    own = [str(folder / name) for name in plan["paths"]]
    return os.pathsep.join([*own, *filter(None, [before]), str(folder / STARTUP)])


def quick_reports(folder: Path) -> str:
    """A clearml.conf by which the SDK reports from the script's own process: another one costs 12 s at the end.

    The file that is configured is read after ours, so that it counts.
    """
    named = os.environ.get("CLEARML_CONFIG_FILE") or os.environ.get("TRAINS_CONFIG_FILE") or "~/clearml.conf"
    before = Path(named).expanduser().resolve()
    own = folder / STARTUP / "clearml.conf"
    lines = ["sdk { development { report_use_subprocess: false } }"]
    own.write_text("\n".join([*lines, *([f'include file("{before}")'] if before.is_file() else [])]) + "\n")
    return str(own)


def main() -> None:
    """Replaces this process by the script."""
    from clearml import StorageManager
    from clearml.backend_api import Session

    plan = json.loads(PLAN)
    address = Session.get_files_server_host() + plan["path"]
    found = StorageManager.get_local_copy(address, extract_archive=False, force_download=True)
    content = Path(found).read_bytes() if found else b""
    if hashlib.sha256(content).hexdigest() != plan["digest"]:
        raise ValueError(f"{address} is not there, or is not the code of this task's template")
    folder = Path(__file__).resolve().parent / f"code-{plan['digest'][:16]}"
    unpack(content, folder)
    directory = folder / plan["directory"]
    directory.mkdir(parents=True, exist_ok=True)
    os.chdir(directory)
    os.environ["PYTHONPATH"] = search_path(plan, folder, os.environ.get("PYTHONPATH", ""))
    os.environ["CLEARML_CONFIG_FILE"] = quick_reports(folder)
    words = command(plan)
    print(f"clearml-hpo: started among the script's own files, in {directory}")  # noqa: T201
    sys.stdout.flush()
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
