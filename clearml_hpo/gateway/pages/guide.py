"""The page that says how to use this gateway, with its address."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clearml_hpo.dashboard.site import Site
from clearml_hpo.gateway.pages.gate import SessionGate, address_of
from clearml_hpo.gateway.requests import Caller


def guide_routes(site: Site, gate: SessionGate, caller: Caller) -> list[Route]:
    """``/guide``."""

    def show(request: Request) -> Response:
        projects = [project.name for project, _ in gate.visit(request).projects.values()]
        return site.page(request, "guide.html", address=address_of(caller, request), projects=projects)

    return [site.route("/guide", show)]
