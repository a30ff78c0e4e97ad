"""Loads ahead what ClearML's SDK loads when a task begins, and sets the task's id, which it reads on import."""

from __future__ import annotations

import importlib
import inspect
import linecache
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PLOTS = ("matplotlib.pyplot", "matplotlib.pylab", "clearml.utilities.plotlympl")
_ALSO = ("multiprocessing.dummy", "multiprocessing.pool", "netrc")
_SERVICES = ("auth", "events", "models", "projects", "tasks")
# What a task sends; the SDK checks the schema of each before it checks what is sent, 10 ms for `tasks.EditRequest`.
_REQUESTS = {
    "tasks": ("AddOrUpdateArtifacts", "AddOrUpdateModel", "Edit", "GetAll", "GetById", "Started"),
    "models": ("Create", "Edit", "GetById"),
    "projects": ("GetById",),
}
# Where `Task.init` is when the SDK asks for the source lines of all frames.
_IN_STACK = (
    *("clearml.task", "clearml.debugging.log", "clearml.backend_api.session.session"),
    *("clearml.backend_interface.base", "clearml.backend_interface.task.task"),
    *("clearml_hpo.workers.warm.child", "__main__"),
)
# A script that names these may set them, so what reads them is loaded in the run.
_SETS_PLOTS = re.compile(r"\bMPL[A-Z]+|matplotlibrc")  # not N_SAMPLES
_SETS_CONFIG = re.compile(r"CLEARML_CONFIG|TRAINS_CONFIG|CLEARML__|clearml\.conf\b|trains\.conf\b")


def preload(sources: str) -> None:
    """Loads what ``Task.init`` will load, if the SDK is imported.

    Args:
        sources: text of the script and of its own modules.
    """
    if "clearml" not in sys.modules:
        return
    names = [*_ALSO, *_newest_services()]
    if not _SETS_PLOTS.search(sources):
        names += _PLOTS
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # the SDK does without it, or loads it itself
            continue
    if not _SETS_CONFIG.search(sources):
        _read_config()
    _check_schemas()
    _know_frames()


def set_task_id(task_id: str) -> None:
    """Sets the task of this process in an SDK that is already imported.

    Raises:
        RuntimeError: this version of the SDK keeps the id elsewhere.
    """
    if "clearml" not in sys.modules:
        return
    from clearml.config import get_remote_task_id
    from clearml.config.remote import override_current_task_id

    override_current_task_id(task_id)
    if get_remote_task_id() != task_id:
        raise RuntimeError("ClearML's SDK does not take the task's id")


def know_script(path: Path) -> None:
    """Says that the module ``__main__`` is this file; else ``inspect`` looks for it in all modules.

    That costs a trial 10 ms, most of it for pages that a fork shares until they are touched.
    """
    _modules_by_file()[str(path.absolute())] = "__main__"


def _know_frames() -> None:
    inspect.getmodule(sys._getframe())  # fills the cache of modules by file
    _modules_by_file()["<frozen runpy>"] = "runpy"  # no module has this file, and `inspect` would look for it each time
    for name in _IN_STACK:
        linecache.getlines(getattr(sys.modules.get(name), "__file__", None) or "")


def _modules_by_file() -> dict[str, str]:
    """The cache of ``inspect``; one that nobody looks at if it has none by this name."""
    found: dict[str, str] = getattr(inspect, "modulesbyfile", {})
    return found


def _check_schemas() -> None:
    """Checks the schemas of what a task sends, so that no trial checks the same ones again."""
    services = {name.rpartition(".")[2]: sys.modules[name] for name in _newest_services() if name in sys.modules}
    checked: dict[int, Any] = {}
    for service, names in _REQUESTS.items():
        for name in names:
            schema = getattr(getattr(services.get(service), f"{name}Request", None), "_schema", None)
            if schema is not None:
                checked[id(schema)] = schema
    try:
        from jsonschema.validators import validator_for

        kinds = {validator_for(schema) for schema in checked.values()}
        for schema in checked.values():
            validator_for(schema).check_schema(schema)
        for kind in kinds:
            _check_once(kind, checked)
    except Exception:  # another version of the library: the SDK checks them in each trial
        return


def _check_once(kind: Any, checked: dict[int, Any]) -> None:
    """Has a validator of ``jsonschema`` check its schemas, but for those very objects that were checked."""
    check = kind.check_schema.__func__

    def check_schema(cls: Any, schema: Any, *arguments: Any, **options: Any) -> None:
        if checked.get(id(schema)) is not schema:
            check(cls, schema, *arguments, **options)

    kind.check_schema = classmethod(check_schema)


def _newest_services() -> Iterator[str]:
    from clearml.backend_api import services

    versions = [name for _, name, _ in pkgutil.iter_modules(services.__path__) if re.fullmatch(r"v\d+_\d+", name)]
    if versions:
        newest = max(versions, key=lambda name: tuple(map(int, name[1:].split("_"))))
        for service in _SERVICES:
            yield f"clearml.backend_api.services.{newest}.{service}"


def _read_config() -> None:
    from clearml.config import config

    try:
        config.get("development")
    except Exception:  # a broken file: the run will fail with it
        return
