"""Style, scripts, and the plotting library, which comes in the ``plotly`` package."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec

PLOTLY = "plotly.min.js"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OWN = ("dashboard.css", "dashboard.js", "figures.js", "parallel.js", "list.js")
_SHARED = ("pages.css", "icon.svg")  # with the pages of the embedded server


def has_plotly() -> bool:
    """Whether figures can be drawn."""
    return find_spec("plotly") is not None


@lru_cache(maxsize=16)
def content(name: str) -> tuple[bytes, str]:
    """A file and its type.

    Raises:
        FileNotFoundError: there is none of this name.
    """
    return _read(name), _TYPES[name.rpartition(".")[2]]


@lru_cache(maxsize=16)
def address(name: str) -> str:
    """Where a page finds a file: it changes with the content, so that a browser may keep it."""
    return f"/static/{name}?{sha256(_read(name)).hexdigest()[:12]}"


def _read(name: str) -> bytes:
    if name == PLOTLY and has_plotly():
        return files("plotly").joinpath("package_data").joinpath(PLOTLY).read_bytes()
    if name in _SHARED:
        return files("clearml_hpo.server.pages").joinpath("static").joinpath(name).read_bytes()
    if name in _OWN:
        return files("clearml_hpo.dashboard").joinpath("static").joinpath(name).read_bytes()
    raise FileNotFoundError(name)
