"""The files of a build of the web app."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from clearml_hpo.core.errors import InputError

# What a browser must be told right; the tables of Python and of the system differ.
_TYPES = {
    **{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"},
    **dict.fromkeys((".js", ".mjs"), "text/javascript; charset=utf-8"),
    **dict.fromkeys((".json", ".map"), "application/json"),
    **{".webmanifest": "application/manifest+json", ".wasm": "application/wasm", ".txt": "text/plain; charset=utf-8"},
    **{".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".ico": "image/x-icon"},
    **{".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".eot": "application/vnd.ms-fontobject"},
}
# Build tools put a hash of the content into the name: such a file never changes.
_HASHED = re.compile(r"[.-](?:[0-9a-f]{16,}|[0-9A-Z]{8})\.\w+$")
_FOR_EVER = "public, max-age=31536000, immutable"


def checked(folder: Path) -> Path:
    """The absolute path of a build.

    Raises:
        InputError: there is no ``index.html`` in it.
    """
    folder = folder.absolute()
    if not (folder / "index.html").is_file():
        found = f"there is no index.html in {folder}" if folder.is_dir() else f"there is no folder {folder}"
        raise InputError(
            f"--webapp: {found}; it takes a build of ClearML's web app, the folder that its web server serves as /"
        )
    return folder


class Build:
    """The files under one folder; a path that is none of them is one of the app's own pages, so its ``index.html``."""

    def __init__(self, folder: Path) -> None:
        self._files = StaticFiles(directory=folder)

    async def response(self, scope: Scope) -> Response:
        """A file, only that there is none of that name, or that it cannot be sent to."""
        path = self._files.get_path(scope)
        try:
            return _with_headers(path, await self._files.get_response(path, scope))
        except HTTPException as error:
            if error.status_code == 405 or PurePosixPath(path).suffix.lower() in _TYPES:
                return PlainTextResponse(
                    "not allowed" if error.status_code == 405 else "no such file", error.status_code
                )
        try:
            return _with_headers("index.html", await self._files.get_response("index.html", scope))
        except HTTPException:
            return PlainTextResponse("the build of the web app is gone", 404)


def _with_headers(path: str, response: Response) -> Response:
    kind = _TYPES.get(PurePosixPath(path).suffix.lower())
    if kind and "content-type" in response.headers:
        response.headers["content-type"] = kind
    response.headers["cache-control"] = _FOR_EVER if _HASHED.search(path) else "no-cache"
    return response
