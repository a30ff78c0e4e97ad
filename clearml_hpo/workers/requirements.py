"""Compares the packages that a task asks for with those of this Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement


def unmet(script: Mapping[str, Any]) -> list[str]:
    """The packages that a task asks for and this Python lacks, such as ``catboost==1.2.7 (here: 1.2.10)``.

    Args:
        script: of the task. Options of pip count as met, and so does any version of a package with an address: only
            pip could tell.
    """
    asked = (script.get("requirements") or {}).get("pip") or ""
    lines: Iterable[str] = asked if isinstance(asked, list) else str(asked).splitlines()
    return [found for line in lines if (found := _lacking(line.partition("#")[0].strip()))]


@lru_cache(maxsize=1024)
def _lacking(line: str) -> str:
    try:
        return _compared(Requirement(line.partition(" --")[0]))
    except (ValueError, TypeError):  # no plain requirement, or a marker or a version here that cannot be compared
        return ""


def _compared(wanted: Requirement) -> str:
    if wanted.marker is not None and not wanted.marker.evaluate():
        return ""
    try:
        here = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f"{wanted} (not here)"
    is_met = bool(wanted.url) or wanted.specifier.contains(here, prereleases=True)
    return "" if is_met else f"{wanted} (here: {here})"
