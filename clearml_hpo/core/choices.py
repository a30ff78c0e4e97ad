"""Names and options that a user chooses from."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from clearml_hpo.core.errors import InputError, nearest


@dataclass(frozen=True)
class Choice:
    """What a name means for one study, and why; as text, a line for users.

    Attributes:
        part: ``sampler`` or ``pruner``.
    """

    part: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.part}: {self.name} ({self.reason})"


def choose(name: str, allowed: Iterable[str], where: str) -> str:
    """Returns ``name`` if it is one of ``allowed``; else raises InputError with the nearest one."""
    allowed = tuple(allowed)
    if name in allowed:
        return name
    raise InputError(f"{where}: no such name: {name!r}{nearest(name, allowed)} (one of: {', '.join(allowed)})")


def check_options(
    maker: Callable[..., object], options: Mapping[str, Any], where: str, owned: tuple[str, ...] = ()
) -> None:
    """Raises InputError if ``maker`` has no parameter for one of ``options``; ``owned`` are set elsewhere."""
    parameters = inspect.signature(maker).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = tuple(p for p in parameters if p not in owned)
    for option in options:
        choose(option, allowed, where)


def takes(function: Callable[..., object], parameter: str) -> bool:
    """Whether ``function`` has a parameter of that name."""
    return parameter in inspect.signature(function).parameters


def check_packages(what: str, packages: Iterable[str], extra: str) -> None:
    """Raises InputError, with the extra of this package to install, if one of ``packages`` is missing."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(f"{what}: the package {' and '.join(missing)} is missing: pip install 'clearml-hpo[{extra}]'")


def is_class_path(name: str) -> bool:
    """Whether ``name`` looks like ``package.module.Class``."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", name) is not None


def import_class(path: str, base: type, where: str) -> Callable[..., Any]:
    """The subclass of ``base`` at ``package.module.Class``; InputError if there is none."""
    module_name, _, class_name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the module is a stranger's: its import can raise anything
        raise InputError(f"{where}: cannot import {path}: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{where}: {path} is no subclass of {base.__module__.split('._')[0]}.{base.__name__}")
    return found
