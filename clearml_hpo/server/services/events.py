"""``events.*``: reported by tasks, and read again as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, INT, OBJECTS, STR, STRINGS, required
from clearml_hpo.server.services.event_fields import (
    bounded,
    chosen,
    flag,
    kind_of,
    metrics_of,
    offset_of,
    owner_name,
    owner_names,
    scroll_id_of,
    wrong,
)
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import LOG, PLOT, SCALAR
from clearml_hpo.server.store.reports import MOST

service = Service("events")


# --- written ----------------------------------------------------------------------------------------------------------


@service.endpoint("add")
def add(call: Call) -> Data:
    """Takes one event in, which is the request."""
    return _added(call, [call.data])


@service.endpoint("add_batch")
def add_batch(call: Call) -> Data:
    """Takes a batch of events in: one per line, or a single one as JSON."""
    events = call.batch or ([call.data] if call.data else [])
    if not events:
        raise ApiRefusal(Refusal.EMPTY_BATCH)
    return _added(call, events)


def _added(call: Call, events: Sequence[Any]) -> Data:
    outcome = call.store.events.add(events, call.worker)
    if not outcome.added:
        raise ApiRefusal(Refusal.EVENTS_NOT_ADDED, **outcome.errors)
    return {
        "added": outcome.added,
        "errors": sum(outcome.errors.values()),
        "errors_info": outcome.errors,
    }


@service.endpoint("delete_for_task", task=required(STR), allow_locked=BOOL)
def delete_for_task(call: Call) -> Data:
    """Removes all events of a task; its ``last_metrics`` stay."""
    check_open_task(call)
    return {"deleted": call.store.events.remove(call.data["task"])}


def check_open_task(call: Call) -> None:
    """Refuses a task whose events may not be changed."""
    task = call.store.tasks.require(call.data["task"], ["status"])
    if task["status"] == "published" and not flag(call, "allow_locked", False):
        detail = "the events of a published task stay, unless allow_locked is set"
        raise ApiRefusal(Refusal.INVALID_TASK_ID, detail, company=identity.COMPANY_ID, id=task["id"])


@service.endpoint("delete_for_model", "2.20", model=required(STR), allow_locked=BOOL)
def delete_for_model(call: Call) -> Data:
    """Removes all events of a model; its ``last_metrics`` stay."""
    model = call.store.models.require(call.data["model"], ["ready"])
    if model["ready"] and not flag(call, "allow_locked", False):
        detail = "the events of a published model stay, unless allow_locked is set"
        raise ApiRefusal(Refusal.INVALID_MODEL_ID, detail, company=identity.COMPANY_ID, id=model["id"])
    return {"deleted": call.store.events.remove(call.data["model"])}


@service.endpoint("clear_scroll", "2.18", scroll_id=STR)
def clear_scroll(call: Call) -> Data:
    """Nothing to clear: an id holds all there is, or is forgotten in time."""
    return {}


# --- read -------------------------------------------------------------------------------------------------------------


@service.endpoint(
    "get_task_events",
    **{"task": required(STR), "event_type": STR, "batch_size": INT, "scroll_id": STR, "order": STR},
    **{"metrics": OBJECTS, "model_events": BOOL},
)
def get_task_events(call: Call) -> Data:
    """Events of a task, of one kind or of all, a part at a time."""
    kind, order = kind_of(call), chosen(call, "order", ("asc", "desc"), "asc", or_null=True)
    size, metrics = bounded(call, "batch_size", 500, -1), metrics_of(call)
    owner_name(call)
    if kind in (LOG, None) and call.store.reports.has_log(call.data["task"]):
        # ClearML's server fails here, with an internal error: lines of a console have no iteration.
        raise wrong("event_type", "console lines are not read in this way; use events.get_task_log")
    offset = offset_of(call)
    events, total = call.store.streams.part(
        call.data["task"], kind, offset, size, metrics=metrics, latest_first=order == "desc"
    )
    scroll_id = scroll_id_of(offset, len(events))
    return {"events": events, "returned": len(events), "total": total, "scroll_id": scroll_id}


@service.endpoint("get_task_metrics", tasks=required(STRINGS), event_type=required(STR), model_events=BOOL)
def get_task_metrics(call: Call) -> Data:
    """Names of the metrics of which some tasks reported events of one kind; single values have none."""
    kind = kind_of(call)
    owner_names(call, call.data["tasks"])
    found = {}
    for task in call.data["tasks"]:
        names = (
            call.store.scalars.names_of([task], single=False)
            if kind == SCALAR
            else call.store.reports.names_of([task], kind)
        )
        found[task] = sorted({metric for metric, _ in names})
    return {"metrics": [{"task": task, "metrics": found[task]} for task in call.data["tasks"]]}


_PLOTS = {"iters": INT, "scroll_id": STR, "no_scroll": BOOL, "metrics": OBJECTS, "model_events": BOOL}


@service.endpoint("get_task_plots", "1.8", task=required(STR), **_PLOTS)
def get_task_plots(call: Call) -> Data:
    """The plots of a task's last iterations, the latest first."""
    owner_name(call)
    plots, rest = _plots(call, [call.data["task"]], MOST)
    return {"plots": plots, **rest}


@service.endpoint("get_multi_task_plots", "1.8", tasks=required(STRINGS), **_PLOTS)
def get_multi_task_plots(call: Call) -> Data:
    """The plots of the last iterations of some tasks, beside one another."""
    names = owner_names(call, call.data["tasks"])
    found: Document = {}
    plots, rest = _plots(call, list(names), 1)
    for plot in plots:
        by_task = found.setdefault(plot["metric"], {}).setdefault(plot["variant"], {})
        by_iteration = by_task.setdefault(plot["task"], {})
        each = by_iteration.setdefault(str(plot["iter"]), {"name": names[plot["task"]], "plots": []})
        each["plots"].append(plot)
    return {"plots": found, **rest, "returned": len(found)}


def _plots(call: Call, owners: Sequence[str], many: int) -> tuple[list[Document], Data]:
    """Plots of the last iterations, and what else an answer says: the id of a scroll if they are so many.

    An id of no scroll begins at the beginning.
    """
    iters = 1 if call.get("iters") is None else bounded(call, "iters", 1, 1)
    try:
        offset = offset_of(call)
    except ApiRefusal:
        offset = 0
    plots = call.store.reports.events(owners, PLOT, iterations=iters, metrics=metrics_of(call), offset=offset)
    more = len(plots) >= many and not call.get("no_scroll")
    scroll_id = scroll_id_of(offset, len(plots)) if more else None
    return plots, {"returned": len(plots), "total": len(plots) + offset, "scroll_id": scroll_id}
