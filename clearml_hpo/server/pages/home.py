"""The first page: what runs and what ran last, projects, queues, workers."""

from __future__ import annotations

from starlette.responses import Response

from clearml_hpo.server.pages import projects, queues, render, workers
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.tasks import TASKS

_RECENT, _PROJECTS = 15, 10
_FIELDS = ("id", "name", "status", "project.name", "started", "active_duration", "last_update", "last_iteration")


def show(visit: Visit) -> Response:
    """The latest first."""
    return render.page(
        "home.html",
        running=_tasks(visit, {"status": ["in_progress"]}),
        recent=_tasks(visit, {"status": ["-in_progress"], "system_tags": ["-archived"]}),
        projects=sorted(projects.tree(visit), key=lambda each: each["last"], reverse=True)[:_PROJECTS],
        queues=queues.listed(visit),
        workers=workers.listed(visit),
        counts=visit.store.statistics.counts(),
        unknown=visit.parts.dispatcher.unknown.most_common(20),
    )


def _tasks(visit: Visit, request: Document) -> list[Document]:
    asked = {**request, "order_by": ["-last_update"], "page_size": _RECENT}
    found, _ = visit.store.tasks.search(asked, _FIELDS)
    visit.store.joins.fill(TASKS, found, _FIELDS)
    return found
