"""``events.*``: reported by tasks, read by people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, INT, NUMBER, OBJECTS, STR, STRINGS, required
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import PLOT, SCALAR
from clearml_hpo.server.store.query import offset_of, scroll_id_of
from clearml_hpo.server.store.reports import MOST

service = Service("events")

SAMPLES = 6000
_KEYS = ("iter", "timestamp", "iso_time")


# --- written ----------------------------------------------------------------------------------------------------------


@service.endpoint("add", type=required(STR))
def add(call: Call) -> Data:
    """Takes one event in."""
    return _added(call, [call.data])


@service.endpoint("add_batch")
def add_batch(call: Call) -> Data:
    """Takes a batch of events in, one per line."""
    events = call.batch or call.get("events") or ([call.data] if call.data else [])
    return _added(call, events if isinstance(events, list) else [])


def _added(call: Call, events: Sequence[Any]) -> Data:
    outcome = call.store.events.add(events)
    if not outcome.added and outcome.errors:
        raise ApiRefusal(Refusal.EVENTS_NOT_ADDED, **outcome.errors)
    return {
        "added": outcome.added,
        "errors": sum(outcome.errors.values()),
        "errors_info": outcome.errors,
    }


@service.endpoint("clear_task_log", task=required(STR), threshold_sec=INT)
def clear_task_log(call: Call) -> Data:
    """Removes console events of a task, all or those older than so many seconds."""
    call.store.tasks.require(call.data["task"], ["id"])
    return {"deleted": call.store.events.clear_log(call.data["task"], call.get("threshold_sec", 0))}


@service.endpoint("delete_for_task", task=required(STR))
def delete_for_task(call: Call) -> Data:
    """Removes all events of a task."""
    call.store.tasks.require(call.data["task"], ["id"])
    call.store.events.forget(call.data["task"])
    return {"deleted": True}


@service.endpoint("delete_for_model", "2.20", model=required(STR))
def delete_for_model(call: Call) -> Data:
    """Removes all events of a model."""
    call.store.models.require(call.data["model"], ["id"])
    call.store.events.forget(call.data["model"])
    return {"deleted": True}


@service.endpoint("clear_scroll", "2.18", scroll_id=required(STR))
def clear_scroll(call: Call) -> Data:
    """Nothing to clear: a scroll is all in its id."""
    return {}


# --- scalars ----------------------------------------------------------------------------------------------------------


def scalar_key(call: Call) -> str:
    """What the x axis shall be."""
    key: str = call.get("key", "iter")
    if key not in _KEYS:
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'key': one of {', '.join(_KEYS)}, not {key!r}")
    return key


def _samples(call: Call) -> int:
    samples = int(call.get("samples", SAMPLES))
    return samples if samples > 0 else 2**62


@service.endpoint("scalar_metrics_iter_histogram", task=required(STR), samples=INT, key=STR, metrics=OBJECTS)
def scalar_metrics_iter_histogram(call: Call) -> Data:
    """All scalars of a task, thinned."""
    required_names(call, [call.data["task"]])
    return call.store.scalars.histogram(call.data["task"], scalar_key(call), _samples(call), call.get("metrics"))


@service.endpoint(
    "multi_task_scalar_metrics_iter_histogram", tasks=required(STRINGS), samples=INT, key=STR, metrics=OBJECTS
)
def multi_task_scalar_metrics_iter_histogram(call: Call) -> Data:
    """All scalars of some tasks, thinned, beside one another."""
    names = required_names(call, call.data["tasks"])
    key, samples = scalar_key(call), _samples(call)
    found: Document = {}
    for id_, name in names.items():
        for metric, variants in call.store.scalars.histogram(id_, key, samples, call.get("metrics")).items():
            for variant, points in variants.items():
                each = found.setdefault(metric, {}).setdefault(variant, {})
                each[id_] = {**points, "name": name}
    return {"metrics": found}


@service.endpoint("get_task_single_value_metrics", tasks=required(STRINGS))
def get_task_single_value_metrics(call: Call) -> Data:
    """Values that were reported without an iteration."""
    names = required_names(call, call.data["tasks"])
    values = call.store.scalars.single_values(list(names))
    return {
        "tasks": [
            {"task": id_, "task_name": name, "values": values[id_]} for id_, name in names.items() if id_ in values
        ]
    }


@service.endpoint("get_task_latest_scalar_values", task=required(STR))
def get_task_latest_scalar_values(call: Call) -> Data:
    """The last value of each metric and variant of a task."""
    task = call.store.tasks.require(call.data["task"], ["name", "status", "last_iteration"])
    last = call.store.scalars.last_metrics([task["id"]]).get(task["id"], {})
    metrics = []
    for variants in last.values():
        shown = [{"name": each["variant"], "last_value": each["value"]} for each in variants.values()]
        metrics.append({"name": next(iter(variants.values()))["metric"], "variants": shown})
    return {
        "metrics": metrics,
        "name": task["name"],
        "status": task["status"],
        "last_iteration": task["last_iteration"],
    }


@service.endpoint("get_scalar_metrics_and_variants", task=required(STR))
def get_scalar_metrics_and_variants(call: Call) -> Data:
    """Names of a task's metrics and variants."""
    last = call.store.scalars.last_metrics([call.data["task"]]).get(call.data["task"], {})
    return {
        "metrics": {
            next(iter(variants.values()))["metric"]: [each["variant"] for each in variants.values()]
            for variants in last.values()
        }
    }


@service.endpoint("get_scalar_metric_data", task=required(STR), metric=required(STR), scroll_id=STR, no_scroll=BOOL)
def get_scalar_metric_data(call: Call) -> Data:
    """The scalars of one metric as events, a part at a time; all of them without a scroll."""
    task, metric, offset = call.data["task"], call.data["metric"], offset_of(call.data)
    required_names(call, [task])
    size = 100_000 if call.get("no_scroll") else 10_000
    events, total = call.store.streams.part(task, SCALAR, offset, size, metric=metric)
    scroll_id = None if call.get("no_scroll") else scroll_id_of(offset + len(events))
    return {"events": events, "returned": len(events), "total": total, "scroll_id": scroll_id}


# --- console, plots, images -------------------------------------------------------------------------------------------


@service.endpoint(
    "get_task_log",
    "2.9",
    task=required(STR),
    batch_size=INT,
    navigate_earlier=BOOL,
    from_timestamp=NUMBER,
    order=STR,
)
def get_task_log(call: Call) -> Data:
    """Console events of a task, from the latest back unless ``navigate_earlier`` is false."""
    earlier = call.get("navigate_earlier", True)
    size = _size(call, 100)
    events, total = call.store.reports.log(
        call.data["task"], size=size, earlier=earlier, start=call.get("from_timestamp")
    )
    shown_backwards = call.get("order", "desc" if earlier else "asc") == "desc"
    if shown_backwards != earlier:
        events.reverse()
    return {"events": events, "returned": len(events), "total": total}


@service.endpoint("get_task_events", task=required(STR), event_type=STR, batch_size=INT, scroll_id=STR, order=STR)
def get_task_events(call: Call) -> Data:
    """Events of a task, of one kind or of all, a part at a time."""
    task, size = call.data["task"], _size(call, 500)
    required_names(call, [task])
    offset, latest_first = offset_of(call.data), call.get("order") == "desc"
    events, total = call.store.streams.part(task, call.get("event_type"), offset, size, latest_first=latest_first)
    scroll_id = scroll_id_of(offset + len(events))
    return {"events": events, "returned": len(events), "total": total, "scroll_id": scroll_id}


@service.endpoint("get_task_metrics", tasks=required(STRINGS), event_type=required(STR))
def get_task_metrics(call: Call) -> Data:
    """Names of the metrics of which some tasks reported events of one kind."""
    kind = call.data["event_type"]
    found = []
    for task in required_names(call, call.data["tasks"]):
        metrics = call.store.scalars.metrics_of(task) if kind == SCALAR else call.store.reports.metrics_of(task, kind)
        found.append({"task": task, "metrics": metrics})
    return {"metrics": found}


@service.endpoint(
    "get_task_plots", "1.8", task=required(STR), iters=INT, scroll_id=STR, no_scroll=BOOL, metrics=OBJECTS
)
def get_task_plots(call: Call) -> Data:
    """The plots of a task's last iterations."""
    task = call.data["task"]
    required_names(call, [task])
    offset = offset_of(call.data)
    iters, metrics = max(1, call.get("iters", 1)), call.get("metrics")
    plots = call.store.reports.events([task], PLOT, iterations=iters, metrics=metrics, offset=offset)
    more = len(plots) == MOST and not call.get("no_scroll")
    scroll_id = scroll_id_of(offset + len(plots)) if more else None
    return {"plots": plots, "returned": len(plots), "total": len(plots) + offset, "scroll_id": scroll_id}


@service.endpoint("get_multi_task_plots", "1.8", tasks=required(STRINGS), iters=INT, scroll_id=STR, no_scroll=BOOL)
def get_multi_task_plots(call: Call) -> Data:
    """The plots of the last iterations of some tasks, beside one another."""
    names = required_names(call, call.data["tasks"])
    found: Document = {}
    offset = offset_of(call.data)
    plots = call.store.reports.events(list(names), PLOT, iterations=max(1, call.get("iters", 1)), offset=offset)
    for plot in plots:
        by_task = found.setdefault(plot["metric"], {}).setdefault(plot["variant"], {})
        by_iteration = by_task.setdefault(plot["task"], {})
        each = by_iteration.setdefault(str(plot["iter"]), {"name": names[plot["task"]], "plots": []})
        each["plots"].append(plot)
    scroll_id = None if call.get("no_scroll") else scroll_id_of(offset + len(plots))
    return {"plots": found, "returned": len(plots), "total": len(plots) + offset, "scroll_id": scroll_id}


def required_names(call: Call, ids: Sequence[str]) -> dict[str, str]:
    """Names of the tasks (or, for model events, models) by id; refuses unknown ones."""
    if call.get("model_events"):
        return {id_: call.store.models.require(id_, ["name"])["name"] for id_ in ids}
    return {id_: call.store.tasks.require(id_, ["name"])["name"] for id_ in ids}


def _size(call: Call, default: int) -> int:
    return max(1, min(int(call.get("batch_size", default)), 10_000))
