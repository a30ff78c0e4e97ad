"""The program of a task, and where it runs: a script that the task contains, or one from a repository."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.backend.template import PLACE_PROPERTY
from clearml_hpo.core.errors import InputError
from clearml_hpo.scripts import starter
from clearml_hpo.scripts.packing import plan_of
from clearml_hpo.scripts.place import Place, show_around
from clearml_hpo.workers.checkout import CheckoutPlan, arguments

FIELDS = ("script", "container", "execution.docker_cmd", "hyperparams.properties")
"""What :func:`prepare` reads of a task."""

_PATCH = "diff --git "


@dataclass(frozen=True)
class Program:
    """A command, and the folder to start it in.

    Attributes:
        words: the part of the command that are arguments for Python; empty if ``plan`` has them, or if the command is
            none of Python's.
        plan: file of a ``CheckoutPlan``, for code from a repository; else None.
        code: contains ``folder``, and all that is made for this run; None if that is ``folder`` itself.
        roots: folders in which Python looks for modules beside the script's own.
    """

    command: Sequence[str]
    folder: Path
    words: Sequence[str] = ()
    plan: Path | None = None
    code: Path | None = None
    roots: Sequence[Path] = ()


def _of_python(words: Sequence[str], folder: Path, code: Path, roots: Sequence[Path] = ()) -> Program:
    return Program([sys.executable, "-u", *words], folder, words, code=code, roots=roots)


def archive_of(task: Mapping[str, Any]) -> tuple[str, str] | None:
    """Path on the file server, and SHA-256, of the archive that a task's script is in; None if it is in none."""
    plan = plan_of(str((task.get("script") or {}).get("diff") or ""))
    return (str(plan["path"]), str(plan["digest"])) if plan is not None else None


def prepare(
    task: Mapping[str, Any], place: Path, mirrors: Path, image: str = "", archive: bytes | None = None
) -> Program:
    """Prepares one run of a task in an empty ``place``: no run sees what an earlier one has left.

    Args:
        task: with the fields of :data:`FIELDS`.
        place: a folder that nothing runs in now.
        mirrors: folder of bare clones, each fetched once for all runs.
        image: of the container around this process.
        archive: what is at the path of :func:`archive_of`.

    Raises:
        InputError: such a task cannot be run here.
    """
    script = task.get("script") or {}
    refuse(task, image)
    shutil.rmtree(place, ignore_errors=True)
    folder = place / "code"
    folder.mkdir(parents=True)
    entry_point = _entry_point(script)
    if not script.get("repository"):
        around = Place.read(user_properties(task.get("hyperparams") or {}).get(PLACE_PROPERTY, ""))
        plan = plan_of(str(script.get("diff") or ""))
        if plan is not None and archive is not None:
            return _unpacked(plan, archive, around, folder)
        if script.get("diff"):
            return _literal(script["diff"], entry_point, folder, around)
        return _of_python(arguments(entry_point, folder), folder, folder)
    file = place / "checkout.json"
    _plan(script, entry_point, place, mirrors).write(file)
    return Program([sys.executable, "-m", "clearml_hpo.workers.checkout", str(file)], folder, plan=file, code=folder)


def by_agent(task_id: str, gpu: str | None, place: Path) -> Program:
    """Prepares a run by ``clearml-agent execute``, in an empty ``place`` and a virtual environment that it makes."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    device = ["--gpus", gpu] if gpu else ["--cpu-only"]
    # As the daemon calls it, which reports status and console itself.
    return Program(
        [sys.executable, "-m", "clearml_agent", "execute", "--disable-monitoring", *device, "--id", task_id], place
    )


def refuse(task: Mapping[str, Any], image: str = "") -> None:
    """Refuses a task that cannot be run here, in a container of ``image``.

    Raises:
        InputError: it asks for a container, is no Python, or carries no code.
    """
    script = task.get("script") or {}
    _check_container(task, image)
    _check_language(script)
    _check_code(script)


def _check_container(task: Mapping[str, Any], image: str) -> None:
    asked = (task.get("container") or {}).get("image") or (task.get("execution") or {}).get("docker_cmd")
    if asked and asked != image:
        here = f"in {image!r}" if image else "in no container"
        raise InputError(
            f"container.image: the task asks for {asked!r}, and processes on this machine run {here}; "
            "clear it, or use a queue whose agent runs containers"
        )


def _check_language(script: Mapping[str, Any]) -> None:
    entry_point, binary = _entry_point(script), str(script.get("binary") or "python")
    is_notebook = entry_point.endswith(".ipynb")
    if is_notebook or not Path(binary).name.startswith("python"):
        found = f"entry_point: {entry_point!r}" if is_notebook else f"binary: {binary!r}"
        raise InputError(f"script.{found}: processes on this machine run Python scripts and modules only")


def _check_code(script: Mapping[str, Any]) -> None:
    if script.get("repository") or _entry_point(script).startswith("-m "):
        return
    diff = str(script.get("diff") or "")
    if diff.startswith(_PATCH) or (script.get("version_num") and not diff):
        raise InputError(
            "script: the task was run in a git repository without a remote, so its code is nowhere else; "
            "add a remote, push, and run the script once again"
        )
    if not diff:
        raise InputError("script: the task has neither a repository nor a script of its own; run it once to have one")


def _entry_point(script: Mapping[str, Any]) -> str:
    return str(script.get("entry_point") or "").strip()


def _literal(text: str, entry_point: str, code: Path, around: Place | None) -> Program:
    """Writes the script that the task contains; an entry point that is not its name, such as ``-m``, runs beside it."""
    if entry_point.startswith("-"):
        (code / "untitled.py").write_text(text, encoding="utf-8")
        return _of_python(arguments(entry_point, code), code, code)
    name, *words = _name_and_arguments(entry_point)
    folder = code
    if around is not None and around.script:
        show_around(around, [around.script], code)
        path, folder = code / around.root / around.script, code / around.root / around.directory
    else:
        path = code / (Path(name).name or "untitled.py")
    path.write_text(text, encoding="utf-8")
    return _of_python([os.path.relpath(path, folder), *words], folder, code)


def _name_and_arguments(entry_point: str) -> list[str]:
    """The name of a script and its arguments, as clearml-agent tells them apart: a name may contain spaces."""
    with contextlib.suppress(ValueError):
        words = shlex.split(entry_point)
        if words and words[0].endswith(".py"):
            return words
    return [entry_point]


def environ_of(program: Program, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run, in which processes that it starts find its modules, too."""
    path = [*map(str, program.roots), *filter(None, [environ.get("PYTHONPATH", "")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(path)} if program.roots else dict(environ)


def _unpacked(plan: Mapping[str, Any], archive: bytes, around: Place | None, code: Path) -> Program:
    """Unpacks the files of a script, in a folder that shows what lies around them on this machine."""
    if hashlib.sha256(archive).hexdigest() != plan["digest"]:
        raise InputError(f"{plan['path']} on the file server is not the code of the task's template")
    root = code / around.root if around is not None else code
    starter.unpack(archive, root)
    if around is not None:
        show_around(around, starter.names(archive), code)
    folder = root / plan["directory"]
    folder.mkdir(parents=True, exist_ok=True)
    roots = [root / name for name in plan["paths"]]
    if not plan["launcher"]:
        return _of_python(plan["words"], folder, code, roots)
    try:
        return Program(starter.command(dict(plan)), folder, code=code, roots=roots)
    except FileNotFoundError as error:
        raise InputError(str(error)) from None


def _plan(script: Mapping[str, Any], entry_point: str, place: Path, mirrors: Path) -> CheckoutPlan:
    repository, patch = str(script["repository"]), ""
    if script.get("diff"):
        file = place / "uncommitted.patch"
        text = str(script["diff"])
        file.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
        patch = str(file)
    return CheckoutPlan(
        repository=repository,
        revision=str(script.get("version_num") or script.get("tag") or ""),
        branch=str(script.get("branch") or ""),
        patch=patch,
        mirror=str(mirrors / hashlib.sha256(repository.encode()).hexdigest()[:16]),
        tree=str(place / "tree"),
        working_dir=str(script.get("working_dir") or "."),
        entry_point=entry_point,
    )
