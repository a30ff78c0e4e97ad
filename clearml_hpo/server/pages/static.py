"""Style, scripts, and the plotting library."""

from __future__ import annotations

from starlette.responses import Response

from clearml_hpo.core.assets import Assets
from clearml_hpo.server.pages.visit import Mistake, Visit

ASSETS = Assets({"clearml_hpo.server.pages": ("pages.css", "pages.js", "plots.js", "icon.svg")})


def file(visit: Visit) -> Response:
    """One of the files."""
    name = visit.names["file"]
    try:
        content, kind = ASSETS.content(name)
    except (OSError, ImportError):  # ImportError: plotly is not installed
        raise Mistake(f"there is no file {name!r:.60}", 404) from None
    return Response(content, media_type=kind, headers=ASSETS.headers)
