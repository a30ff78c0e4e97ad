"""Tasks beside one another: parameters with their differences, last values, scalars, parallel coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from clearml_hpo.server.pages import cells, differences, parallel, render
from clearml_hpo.server.pages.columns import WHICH
from clearml_hpo.server.pages.scalars import ALONG, layout, line
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.store.documents import Document

_SAMPLES = 500
# How many tasks one can still tell apart, by tab.
_MOST = {"parameters": 24, "values": 24, "scalars": 50, "parallel": 1000}
_FIELDS = ("id", "name", "status", "last_iteration")
_MOST_IDS = 1000


def show(visit: Visit) -> Response:
    """One tab."""
    tab = visit.choice("tab", tuple(_TABS))
    ids = list(dict.fromkeys(visit.query.getlist("task")))[:_MOST_IDS]
    tasks = _tasks(visit, ids[: _MOST[tab]])
    if not tasks:
        raise Mistake("choose the tasks to compare in a project's table", 404)
    return render.page(
        f"compare_{tab}.html",
        tasks=tasks,
        left_out=max(0, len(ids) - _MOST[tab]),
        tab=tab,
        tabs=tuple(_TABS),
        chosen=urlencode([("task", id_) for id_ in ids]),
        live=any(task["status"] == "in_progress" for task in tasks),
        **_TABS[tab](visit, tasks),
    )


def _tasks(visit: Visit, ids: Sequence[str], fields: Sequence[str] = _FIELDS) -> list[Document]:
    """The tasks of these ids, in their order; those that are not there any more are left out."""
    found, _ = visit.store.tasks.search({"id": ids or [""], "page_size": _MOST_IDS}, fields)
    known = {task["id"]: task for task in found}
    return [known[id_] for id_ in ids if id_ in known]


def _parameters(visit: Visit, tasks: Sequence[Document]) -> dict[str, Any]:
    whole = _tasks(visit, _ids(tasks), ("id", "name", "hyperparams", "configuration"))
    return {"rows": differences.parameters(whole), "objects": differences.objects(whole)}


def _values(visit: Visit, tasks: Sequence[Document]) -> dict[str, Any]:
    ids = _ids(tasks)
    which = visit.choice("which", tuple(WHICH))
    names = _ordered(visit.store.browse.metrics_of(ids))
    values = visit.store.browse.values(ids, names)
    rows = [(name, [values.get((id_, *name), {}).get(WHICH[which]) for id_ in ids]) for name in names]
    return {"which": which, "choices": tuple(WHICH), "rows": [(*row, _ends(row[1])) for row in rows]}


def _ends(values: Iterable[float | None]) -> tuple[float, float] | tuple[None, None]:
    """The least and the greatest of some values that are not all the same."""
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known and min(known) < max(known) else (None, None)


def _scalars(visit: Visit, tasks: Sequence[Document]) -> dict[str, Any]:
    return {
        "names": _ordered(visit.store.browse.drawn(_ids(tasks))),
        "along": visit.choice("along", tuple(ALONG)),
        "choices": ALONG,
    }


def _parallel(visit: Visit, tasks: Sequence[Document]) -> dict[str, Any]:
    common = visit.store.browse.metrics_of(_ids(tasks))
    names = _ordered(common)
    usual = next((name for name in common if not cells.is_of_the_machine(name[0])), None)
    wanted = visit.query.get("metric"), visit.query.get("variant")
    chosen = next((name for name in names if name == wanted), usual)
    return {"names": names, "metric": chosen, "which": visit.choice("which", tuple(WHICH)), "choices": tuple(WHICH)}


_TABS: dict[str, Callable[[Visit, Sequence[Document]], dict[str, Any]]] = {
    "parameters": _parameters,
    "values": _values,
    "scalars": _scalars,
    "parallel": _parallel,
}


def figure(visit: Visit) -> Response:
    """A plot of one metric and variant of some tasks: over one another, or against their parameters."""
    kind = visit.choice("tab", ("scalars", "parallel"))
    ids = visit.query.getlist("task")[: _MOST[kind]]
    return render.data(_lines(visit, ids) if kind == "scalars" else _coordinates(visit, ids))


def _lines(visit: Visit, ids: Sequence[str]) -> Document:
    along, metric, variant = visit.choice("along", tuple(ALONG)), *_wanted(visit)
    lines = []
    for task in _tasks(visit, ids):
        found = visit.store.scalars.histogram(task["id"], along, _SAMPLES, [{"metric": metric, "variants": [variant]}])
        if metric in found:
            lines.append(line(task["name"], found[metric][variant]))
    return {"data": lines, "layout": layout(along, lines)}


def _coordinates(visit: Visit, ids: Sequence[str]) -> Document:
    name, which = _wanted(visit), visit.choice("which", tuple(WHICH))
    tasks = _tasks(visit, ids, ("id", "name", "hyperparams"))
    values = visit.store.browse.values(_ids(tasks), [name])
    measured = {task["id"]: values.get((task["id"], *name), {}).get(WHICH[which]) for task in tasks}
    return parallel.figure(tasks, measured, cells.metric_name(*name))


def _wanted(visit: Visit) -> tuple[str, str]:
    return visit.query.get("metric", ""), visit.query.get("variant", "")


def _ordered(names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Metrics and variants, those of the machine at the end."""
    return sorted(names, key=lambda name: (cells.is_of_the_machine(name[0]), name))


def _ids(tasks: Sequence[Document]) -> list[str]:
    return [task["id"] for task in tasks]
