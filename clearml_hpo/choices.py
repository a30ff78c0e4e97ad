"""Names and options that a person chooses from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from clearml_hpo.errors import InputError, nearest


def choose(name: str, allowed: tuple[str, ...], where: str) -> str:
    """Returns ``name`` if it is one of ``allowed``; else raises InputError with the nearest one."""
    if name in allowed:
        return name
    raise InputError(f"{where}: no such name: {name!r}{nearest(name, allowed)} (one of: {', '.join(allowed)})")


def check_options(cls: type, options: Mapping[str, Any], where: str, owned: tuple[str, ...] = ()) -> None:
    """Raises InputError if ``cls`` does not take one of ``options``; ``owned`` are set elsewhere."""
    parameters = inspect.signature(cls).parameters
    allowed = tuple(p for p in parameters if p not in owned)
    for option in options:
        choose(option, allowed, where)
