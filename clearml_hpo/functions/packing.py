"""A Python function as a training script: its file, and the function beside it."""

from __future__ import annotations

import hashlib
import io
import re
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle

from clearml_hpo.core.errors import InputError
from clearml_hpo.functions import trial_runner
from clearml_hpo.scripts.code import MOST_BYTES

FOLDER = ".clearml-hpo"
"""Folder in the working directory in which functions are kept; git ignores it."""

_IMPORTS = "import cloudpickle\n"


def pack(objective: Callable[..., Any], folder: Path) -> Path:
    """Writes the script of a function, and the function; the path of the script.

    The same function is written once, whatever its line number or the name of a notebook's cell: so its template is
    found again. Functions and classes of the user's own modules go along by value.

    Raises:
        InputError: the function cannot be pickled.
    """
    own = _own_modules(folder)
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        identity, content = _identity(objective), cloudpickle.dumps(objective)
    except Exception as error:  # whatever its values raise when they are pickled
        raise InputError(
            f"the objective cannot be sent to its trials: {error}; open files and connections inside"
        ) from error
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
    if len(content) > MOST_BYTES:
        raise InputError(
            f"the objective holds {len(content) / 2**20:,.0f} MB of values, more than {MOST_BYTES // 2**20}: "
            "read data inside of it"
        )
    name = re.sub(r"\W", "", getattr(objective, "__name__", "")) or "objective"
    place = folder / FOLDER / f"{name}-{identity}"
    script, pickled = place / f"{name}.py", place / "objective.pkl"
    if not (script.is_file() and pickled.is_file()):
        place.mkdir(parents=True, exist_ok=True)
        (folder / FOLDER / ".gitignore").write_text("*\n")
        lines = "".join(f"import {module}\n" for module in ("clearml", *_imported(content)))
        text = Path(trial_runner.__file__).read_text(encoding="utf-8").replace(_IMPORTS, lines + _IMPORTS, 1)
        pickled.write_bytes(content)
        script.write_text(text, encoding="utf-8")
    return script


def _imported(pickled: bytes) -> list[str]:
    """Installed packages that a pickled function names: a warm worker imports them once, an agent installs them."""
    installed = packages_distributions()
    loaded = {name.partition(".")[0] for name in sys.modules} & installed.keys()
    return sorted(name for name in loaded if not name.startswith("_") and _names(pickled, name))


def _names(pickled: bytes, module: str) -> bool:
    return re.search(rb"(?<![\w.])" + re.escape(module.encode()) + rb"(?![\w-])", pickled) is not None


def _own_modules(folder: Path) -> list[types.ModuleType]:
    """Modules that were loaded from the user's folder, and are no installed ones."""
    found = []
    for name, module in list(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "/")
        is_installed = {"site-packages", "dist-packages"} & set(path.parts)
        if name != "__main__" and path.is_relative_to(folder) and not is_installed:
            found.append(module)
    return found


def _code(code: types.CodeType) -> tuple[Any, ...]:
    return tuple, (tuple(_facts(code)),)


def _facts(code: types.CodeType) -> Iterator[object]:
    yield from (code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
    yield tuple(sorted(each) if isinstance(each, frozenset) else each for each in code.co_consts)


class _SameGlobals(dict[int, dict[str, str]]):
    """What cloudpickle notes of the modules of functions: here nothing, such as their files."""

    def setdefault(self, key: int, default: object = None) -> dict[str, str]:
        """The same for each module."""
        return super().setdefault(key, {"__name__": ""})


class _Content(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles code by what it does, not by where it was written."""

    dispatch_table: ClassVar = ChainMap({types.CodeType: _code}, cloudpickle.Pickler.dispatch_table)

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.globals_ref = _SameGlobals()


def _identity(objective: Callable[..., Any]) -> str:
    buffer = io.BytesIO()
    _Content(buffer).dump(objective)
    return hashlib.sha256(buffer.getvalue()).hexdigest()[:12]
