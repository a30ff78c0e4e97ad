"""Which columns a table is to have."""

from __future__ import annotations

from starlette.responses import Response

from clearml_hpo.server.pages import render
from clearml_hpo.server.pages.columns import FIXED, USER_PROPERTIES, WHICH, metric, parameter
from clearml_hpo.server.pages.experiments import columns_of
from clearml_hpo.server.pages.selection import Selection
from clearml_hpo.server.pages.visit import Visit


def show(visit: Visit) -> Response:
    """A form with all columns there are."""
    selection = Selection.of(visit)
    inside = None
    if selection.project != "*":
        visit.store.projects.require(selection.project, ["id"])
        one = [selection.project]
        inside = visit.store.projects.with_descendants(one) if selection.below else one
    parameters = [(section, parameter(section, name)) for section, name in visit.store.browse.parameters(inside)]
    sections: dict[str, list[object]] = {}
    for section, each in parameters:
        sections.setdefault(section, []).append(each)
    return render.page(
        "chooser.html",
        selection=selection,
        kept=selection.pairs(without=("columns", "page")),
        chosen=[each.key for each in columns_of(visit, selection)],
        fixed=list(FIXED.values()),
        properties=sections.pop(USER_PROPERTIES, []),
        sections=sections,
        metrics=[
            (*names, [(which, metric(*names, which).key) for which in WHICH])
            for names in visit.store.browse.metrics(inside)
        ],
    )
