"""Style, scripts, and the plotting library, which comes in the ``plotly`` package."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec

from starlette.responses import Response

from clearml_hpo.server.pages.visit import Mistake, Visit

PLOTLY = "plotly.min.js"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NAMES = ("pages.css", "pages.js", "plots.js", "icon.svg")


def file(visit: Visit) -> Response:
    """One of the files; its address changes with its content, so a browser may keep it."""
    name = visit.names["file"]
    try:
        content = _content(name)
    except OSError:
        raise Mistake(f"there is no file {name!r:.60}", 404) from None
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)


@lru_cache(maxsize=1)
def has_plotly() -> bool:
    """Whether plots can be drawn."""
    return find_spec("plotly") is not None


@lru_cache(maxsize=16)
def address(name: str) -> str:
    """Where a page finds a file."""
    return f"/static/{name}?{sha256(_content(name)).hexdigest()[:12]}"


@lru_cache(maxsize=16)
def _content(name: str) -> bytes:
    if name == PLOTLY and has_plotly():
        return files("plotly").joinpath("package_data").joinpath(PLOTLY).read_bytes()
    if name not in _NAMES:
        raise FileNotFoundError(name)
    return files("clearml_hpo.server.pages").joinpath("static").joinpath(name).read_bytes()
