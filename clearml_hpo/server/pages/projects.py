"""The tree of projects."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from clearml_hpo.server.pages import render
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document

_MOST = 10_000
_FIELDS = ["id", "name", "basename", "parent", "description", "last_update", "system_tags"]


def show(visit: Visit) -> Response:
    """All projects."""
    return render.page("projects.html", projects=tree(visit))


def tree(visit: Visit) -> list[Document]:
    """All projects in order of their names, each with its depth and, with all below it, its numbers and last change.

    Those that ClearML hides, of datasets and pipelines, are among them.
    """
    found, _ = visit.store.projects.search({"page_size": _MOST, "only_fields": _FIELDS, "search_hidden": True})
    own = visit.store.browse.by_project()
    numbers: dict[str, Document] = {}
    for project in sorted(found, key=lambda each: str(each["name"]).count("/"), reverse=True):
        mine = _sum(numbers.get(project["id"], {}), own.get(project["id"], {}))
        numbers[project["id"]] = mine
        if project.get("parent"):
            numbers[project["parent"]] = _sum(numbers.get(project["parent"], {}), mine)
    for project in found:
        mine = numbers[project["id"]]
        project["last"] = mine.get("last") or project["last_update"]
        project["numbers"] = {name: number for name, number in mine.items() if name != "last" and number}
        project["depth"] = project["name"].count("/")
    return sorted(found, key=lambda each: str(each["name"]).casefold().split("/"))


def _sum(one: Document, other: Document) -> dict[str, Any]:
    names = {*one, *other} - {"last"}
    return {
        "last": max(one.get("last", ""), other.get("last", "")),
        **{name: one.get(name, 0) + other.get(name, 0) for name in names},
    }
