"""Fills the templates."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from starlette.responses import HTMLResponse

from clearml_hpo.core.assets import Assets, has_plotly
from clearml_hpo.core.templating import html_environment
from clearml_hpo.report.summary import duration_text

ASSETS = Assets(
    {
        "clearml_hpo.dashboard": (
            "dashboard.css",
            "dashboard.js",
            "figures.js",
            "parallel.js",
            "list.js",
            "launch.js",
            "outside.js",
        ),
        "clearml_hpo.server.pages": ("pages.css", "icon.svg"),
    }
)


_OWN = "clearml_hpo.dashboard"


def page(template: str, /, code: int = 200, packages: tuple[str, ...] = (), **values: Any) -> HTMLResponse:
    """A whole page; further ``packages`` may have templates too."""
    return HTMLResponse(_environment((*packages, _OWN)).get_template(template).render(**values), code)


@lru_cache(maxsize=8)
def _environment(packages: tuple[str, ...]) -> Environment:
    return html_environment(
        *packages,
        filters={"moment": _moment, "in_script": _in_script, "duration": duration_text, "linked": _linked},
        names={"static": ASSETS.address, "has_plotly": has_plotly},
    )


def _moment(epoch: float | None) -> str:
    """UTC to the minute; empty for None."""
    if epoch is None:
        return ""
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%d %H:%M")


def _in_script(value: object) -> Markup:
    """JSON that may stand in a ``<script>``: nothing in it ends the element."""
    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _linked(url: str) -> str:
    """The address of a page; nothing else is linked."""
    return url if url.startswith(("http://", "https://")) else ""
