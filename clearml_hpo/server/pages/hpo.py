"""The way to the dashboard, a program of its own: to its page, or to how it is started."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from clearml_hpo.server.dashboards import port_of
from clearml_hpo.server.pages import render
from clearml_hpo.server.pages.visit import Visit


def show(visit: Visit) -> Response:
    """The same path at the dashboard that runs on this machine, or how to start one."""
    data_dir = visit.parts.local_data
    port = port_of(data_dir) if data_dir is not None else None
    if port is not None:
        return RedirectResponse(f"http://127.0.0.1:{port}/{quote(visit.names.get('rest', ''))}", 303)
    return render.page("hpo.html", is_local=data_dir is not None)
