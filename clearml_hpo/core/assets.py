"""Files that pages need: style, scripts, and the plotting library, which comes in the ``plotly`` package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec

_PLOTLY = "plotly.min.js"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@lru_cache(maxsize=1)
def has_plotly() -> bool:
    """Whether figures can be drawn."""
    return find_spec("plotly") is not None


class Assets:
    """The files of some pages; a browser may keep them, since an address changes with the content."""

    headers: Mapping[str, str] = {"cache-control": "public, max-age=31536000, immutable"}

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        """``names`` of files in the folders ``static`` of packages, by the package's dotted name."""
        self._packages = {name: package for package, those in names.items() for name in those}

    def content(self, name: str) -> tuple[bytes, str]:
        """A file and its type.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        if name != _PLOTLY and name not in self._packages:
            raise FileNotFoundError(name)
        return _read(self._packages.get(name, ""), name), _TYPES[name.rpartition(".")[2]]

    def address(self, name: str) -> str:
        """Where a page finds a file."""
        return f"/static/{name}?{_digest(self._packages.get(name, ''), name)}"


@lru_cache(maxsize=32)
def _read(package: str, name: str) -> bytes:
    folder = files(package).joinpath("static") if package else files("plotly").joinpath("package_data")
    return folder.joinpath(name).read_bytes()


@lru_cache(maxsize=32)
def _digest(package: str, name: str) -> str:
    return sha256(_read(package, name)).hexdigest()[:12]
