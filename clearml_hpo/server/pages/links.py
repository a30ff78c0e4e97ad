"""Addresses of ClearML's web app, which the SDK prints and users keep: each leads to the page that has the same."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from clearml_hpo.server.pages import cells, render
from clearml_hpo.server.pages.visit import Visit

# How a view of ClearML's web app begins: the tab that shows the same.
_TABS = {
    "output/log": "overview",  # what the SDK calls the results page
    "info-output/log": "console",
    "output/metrics/plots": "plots",
    "output/plots": "plots",
    "info-output/metrics/plots": "plots",
    "output/debugImages": "images",
    "info-output/debugImages": "images",
    "output": "scalars",
    "info-output": "scalars",
    "artifacts": "artifacts",
    "hyper-params": "configuration",
    "execution": "execution",
}


def task(visit: Visit) -> Response:
    """A task, by whatever address; an unknown one is not there."""
    id_, view = visit.names["task"], visit.names.get("view", "")
    visit.store.tasks.require(id_, ["id"])
    tabs = [tab for beginning, tab in _TABS.items() if f"{view}/".startswith(f"{beginning}/")]
    return RedirectResponse(cells.path("tasks", id_, *tabs[:1]), 302)


def project(visit: Visit) -> Response:
    """The table of a project."""
    return RedirectResponse(cells.path("projects", visit.names["project"]), 302)


def datasets(visit: Visit) -> Response:
    """The tasks that are versions of datasets."""
    return RedirectResponse("/projects/*?type=data_processing", 302)


def pipelines(visit: Visit) -> Response:
    """The tasks that drive pipelines."""
    return RedirectResponse("/projects/*?type=controller", 302)


def compare(visit: Visit) -> Response:
    """Tasks beside one another."""
    ids = "&".join(f"task={cells.path(id_)[1:]}" for id_ in visit.names["ids"].split(",") if id_)
    return RedirectResponse(f"/compare?{ids}", 302)


def workers(visit: Visit) -> Response:
    """The workers."""
    return RedirectResponse("/workers", 302)


def queues(visit: Visit) -> Response:
    """The queues."""
    return RedirectResponse("/queues", 302)


def settings(visit: Visit) -> Response:
    """Where ClearML's web app makes keys: here the command line does."""
    return render.page("settings.html")
