"""Files that tasks uploaded to this server, as far as the pages show them.

They are shown from the pages' own address, so that a picture needs no token; what a file says of itself has no rights
here: it is opened in a sandbox, without scripts.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from starlette.responses import FileResponse, Response

from clearml_hpo.server.files import BadUpload
from clearml_hpo.server.pages import cells
from clearml_hpo.server.pages.visit import Mistake, Visit

_SANDBOX = {"content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"}
_WEB = ("http", "https")


def file(visit: Visit) -> Response:
    """A file."""
    try:
        path = visit.parts.files.path_of(visit.names["file"])
        found = path.is_file()
    except (BadUpload, OSError):
        found = False
    if not found:
        raise Mistake(f"there is no file {visit.names['file']!r:.200}", 404)
    return FileResponse(path, headers=_SANDBOX)


def here(visit: Visit, uri: str | None) -> str | None:
    """The path of a page for a file that this server has; None where it is elsewhere."""
    try:
        parts = urlsplit(uri or "")
        name = unquote(parts.path).lstrip("/")
        if parts.scheme not in _WEB or not visit.parts.files.path_of(name).is_file():
            return None
    except (ValueError, BadUpload, OSError):
        return None
    return cells.path("files", *name.split("/"))


def elsewhere(uri: str | None) -> str | None:
    """An address that a user may follow: one of the web; no other kind is made a link."""
    try:
        return uri if uri and urlsplit(uri).scheme in _WEB else None
    except ValueError:
        return None
