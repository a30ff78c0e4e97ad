"""The processes that a test has started."""

from __future__ import annotations

import contextlib

import psutil


def children_running(module: str) -> list[psutil.Process]:
    """Those that run a module; zombies that another test has left run none."""
    return [child for child in psutil.Process().children() if _runs(child, module)]


def _runs(process: psutil.Process, module: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return module in process.cmdline()
    return False
