"""The experiment table of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from starlette.responses import Response

from clearml_hpo.server.pages import cells, render, studies
from clearml_hpo.server.pages.columns import DEFAULT, FIXED, NAME, Column, Values, cell, fields, metric
from clearml_hpo.server.pages.selection import SIZES, Selection
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.status_rules import STATUSES
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.tasks import TASKS

_LIVE = frozenset(("in_progress", "queued"))
_SAMPLE, _METRICS = 30, 4
_ALWAYS = ("id", "name", "status", "system_tags")


def show(visit: Visit) -> Response:
    """The table."""
    selection = Selection.of(visit)
    project = _project(visit, selection.project)
    asked, also = selection.request()
    total = visit.store.browse.count(asked, also)
    pages = max(1, ceil(total / selection.size))
    columns = columns_of(visit, selection)
    place = {"page": selection.page, "page_size": selection.size}
    tasks, _ = visit.store.tasks.search({**asked, **place}, [*_ALWAYS, *fields(columns)], also)
    visit.store.joins.fill(TASKS, tasks, fields(columns))
    values = values_of(visit, tasks, columns)
    return render.page(
        "experiments.html",
        selection=selection,
        project=project,
        total=total,
        pages=pages,
        name_column=NAME,
        columns=columns,
        statuses=sorted(STATUSES),
        types=visit.store.statistics.types(),
        sizes=SIZES,
        below=_below(visit, selection.project),
        studies=[] if selection.project == "*" else studies.controllers(visit, selection.project),
        apart=visit.store.browse.count(*replace(selection, all=True).request()) - total,
        queues=visit.store.queues.search({"only_fields": ["id", "name"]})[0],
        rows=[(task, [cell(each, task, values) for each in columns]) for task in tasks],
        live=any(task["status"] in _LIVE for task in tasks),
    )


def values_of(visit: Visit, tasks: Sequence[Document], columns: Sequence[Column]) -> Values:
    """The values of the metrics that some columns show."""
    wanted = [each.metric for each in columns if each.metric]
    return visit.store.browse.values([task["id"] for task in tasks], wanted) if wanted else {}


def columns_of(visit: Visit, selection: Selection) -> list[Column]:
    """The columns of a table; where the user has not chosen any, also the first metrics of its first tasks."""
    if selection.columns:
        return selection.chosen()
    asked, also = selection.request()
    first, _ = visit.store.tasks.search({**asked, "page_size": _SAMPLE}, ["id", "hyperparams"], also)
    metrics = visit.store.browse.metrics_of([task["id"] for task in first])
    reported = [name for name in metrics if not cells.is_of_the_machine(name[0])][:_METRICS]
    state, *others = DEFAULT
    place = [] if selection.project != "*" and not selection.below else ["project"]
    metrics_ = [metric(*name, "last") for name in reported]
    if of_studies := studies.columns(first):
        return [FIXED[state], *of_studies, *metrics_, *(FIXED[name] for name in (*place, *others))]
    return [*(FIXED[name] for name in (*place, *DEFAULT)), *metrics_]


def _project(visit: Visit, id_: str) -> Document:
    if id_ == "*":
        return {"id": "*", "name": "All tasks", "description": "", "path": []}
    return visit.store.projects.get(id_)


def _below(visit: Visit, id_: str) -> list[Document]:
    """The projects one level below."""
    if id_ == "*":
        return []
    found, _ = visit.store.projects.search(
        {"parent": [id_], "search_hidden": True, "only_fields": ["id", "basename"], "order_by": ["name"]}
    )
    return found
