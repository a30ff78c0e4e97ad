"""Changes to the SDK that every Python of a trial makes first.

sitecustomize.py  runs when Python starts, because ``PYTHONPATH`` names this folder; changes two things in the SDK
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_FOLDER = str(Path(__file__).parent)


def source() -> bytes:
    """The file itself, for a script that takes it along."""
    return Path(_FOLDER, "sitecustomize.py").read_bytes()


def with_startup(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` for processes that run trials, and for agents, which hand it on to theirs."""
    before = environ.get("PYTHONPATH", "")
    if _FOLDER in before.split(os.pathsep):
        return dict(environ)
    return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, [_FOLDER, before]))}
