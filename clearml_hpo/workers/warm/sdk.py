"""Loads ahead what ClearML's SDK loads when a task begins, and sets the task's id, which it reads on import."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator

_PLOTS = ("matplotlib.pyplot", "matplotlib.pylab", "clearml.utilities.plotlympl")
_ALSO = ("multiprocessing.dummy", "multiprocessing.pool", "netrc")
_SERVICES = ("auth", "events", "models", "projects", "tasks")
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
    inspect.getmodule(sys._getframe())  # fills the cache of modules by file, which the SDK needs at its start


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
