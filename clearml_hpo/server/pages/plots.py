"""The plots that a task reported, as Plotly draws them."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from clearml_hpo.server.pages import render, uploads
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import PLOT


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """Titles of the plots; a script fetches those that are in sight."""
    return {"plots": visit.store.browse.titles(task["id"], PLOT)}


def figure(visit: Visit) -> Response:
    """One plot as it was reported, cut to what Plotly takes."""
    task = visit.names["task"]
    metric, variant = visit.query.get("metric", ""), visit.query.get("variant", "")
    iteration = visit.number("iteration", 0, least=-(2**31), most=2**53)
    event = visit.store.browse.report(task, PLOT, metric, variant, iteration)
    if event is None:
        raise Mistake(f"there is no plot {metric!r:.60} / {variant!r:.60} of iteration {iteration}", 404)
    return render.data(parsed(visit, event))


def parsed(visit: Visit, event: Document) -> Document:
    """``{"data", "layout"}`` of a reported plot, its pictures taken from this server; no traces where it is no plot."""
    try:
        found = json.loads(event.get("plot_str") or "null")
    except ValueError:
        found = None
    whole = _mapping(found)
    data = [trace for trace in _list(whole.get("data")) if isinstance(trace, dict)]
    layout = _mapping(whole.get("layout"))
    pictures = [_picture(visit, each) for each in _list(layout.get("images")) if isinstance(each, dict)]
    return {"data": data, "layout": {**layout, "images": pictures} if pictures else layout}


def _picture(visit: Visit, picture: Document) -> Document:
    source = str(picture.get("source") or "")
    kept = source if source.startswith("data:") else uploads.here(visit, source) or ""
    return {**picture, "source": kept}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else []
