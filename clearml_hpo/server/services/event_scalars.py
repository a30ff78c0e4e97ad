"""``events.*``: scalars as curves, as points and as last values."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL, DICT, INT, OBJECTS, STR, STRINGS, required
from clearml_hpo.server.services.event_fields import (
    bounded,
    check_metric,
    metrics_of,
    offset_of,
    owner_name,
    owner_names,
    scalar_key,
    scroll_id_of,
)
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import SCALAR

service = Service("events")

SAMPLES, MOST_SAMPLES, MOST_TASKS = 2000, 6000, 100
_PART, _LARGEST_PART = 10_000, 100_000
_CURVES = {"samples": INT, "key": STR, "metrics": OBJECTS, "model_events": BOOL}


# --- curves -----------------------------------------------------------------------------------------------------------


def _samples(call: Call) -> int:
    return bounded(call, "samples", SAMPLES, 1, MOST_SAMPLES)


@service.endpoint("scalar_metrics_iter_histogram", task=required(STR), **_CURVES)
def scalar_metrics_iter_histogram(call: Call) -> Data:
    """All scalars of a task, thinned."""
    key, samples, metrics = scalar_key(call), _samples(call), metrics_of(call)
    owner_name(call)
    return call.store.scalars.histogram(call.data["task"], key, samples, metrics)


@service.endpoint("multi_task_scalar_metrics_iter_histogram", tasks=required(STRINGS), **_CURVES)
def multi_task_scalar_metrics_iter_histogram(call: Call) -> Data:
    """All scalars of some tasks, thinned, beside one another."""
    key, samples, metrics = scalar_key(call), _samples(call), metrics_of(call)
    found: Document = {}
    for id_, name in owner_names(call, call.data["tasks"], most=MOST_TASKS).items():
        for metric, variants in call.store.scalars.histogram(id_, key, samples, metrics).items():
            for variant, points in variants.items():
                each = found.setdefault(metric, {}).setdefault(variant, {})
                each[id_] = {**points, "name": name}
    return {"metrics": found}


# --- points -----------------------------------------------------------------------------------------------------------


@service.endpoint(
    "scalar_metrics_iter_raw",
    "2.16",
    **{"task": required(STR), "metric": required(DICT), "key": STR, "batch_size": INT, "scroll_id": STR},
    **{"count_total": BOOL, "model_events": BOOL},
)
def scalar_metrics_iter_raw(call: Call) -> Data:
    """The points of one metric as they were reported, a part at a time."""
    key, metric = scalar_key(call, or_null=True), call.data["metric"]
    check_metric("metric", metric)
    size = 0 if call.get("batch_size") is None else bounded(call, "batch_size", 0, 0)
    owner_name(call)
    offset = offset_of(call)
    size = min(size or _PART, _LARGEST_PART)
    points, total = call.store.scalars.raw(call.data["task"], metric, key, offset, size)
    variants: Data = {}
    for variant, x, y in points:
        each = variants.setdefault(variant, {"y": [], key: []})
        each["y"].append(y)
        each[key].append(x)
    return {
        "returned": len(points),
        "total": total if call.get("count_total") else None,
        "scroll_id": scroll_id_of(offset, len(points)),
        "variants": variants,
    }


@service.endpoint(
    "get_scalar_metric_data",
    **{"task": required(STR), "metric": required(STR), "scroll_id": STR, "no_scroll": BOOL, "model_events": BOOL},
)
def get_scalar_metric_data(call: Call) -> Data:
    """The scalars of one metric as events, the latest iteration first; a part at a time, or all without a scroll."""
    owner_name(call)
    offset, size = offset_of(call), _LARGEST_PART if call.get("no_scroll") else _PART
    metrics = [{"metric": call.data["metric"]}]
    events, total = call.store.streams.part(call.data["task"], SCALAR, offset, size, metrics=metrics, latest_first=True)
    scroll_id = None if call.get("no_scroll") else scroll_id_of(offset, len(events))
    return {"events": events, "returned": len(events), "total": total, "scroll_id": scroll_id}


# --- values -----------------------------------------------------------------------------------------------------------


@service.endpoint("get_task_single_value_metrics", tasks=required(STRINGS), metrics=OBJECTS, model_events=BOOL)
def get_task_single_value_metrics(call: Call) -> Data:
    """Values that were reported without an iteration."""
    metrics, names = metrics_of(call), owner_names(call, call.data["tasks"])
    values = call.store.scalars.single_values(list(names), metrics)
    return {
        "tasks": [
            {"task": id_, "task_name": name, "values": values[id_]} for id_, name in names.items() if id_ in values
        ]
    }


@service.endpoint("get_task_latest_scalar_values", task=required(STR))
def get_task_latest_scalar_values(call: Call) -> Data:
    """The last values of each metric and variant of a task; of the task itself ClearML's server says nothing true."""
    owner_name(call)
    found, iteration, moment = call.store.scalars.latest(call.data["task"])
    return {
        "metrics": [{"name": metric, "variants": variants} for metric, variants in found.items()],
        "last_iter": iteration,
        "last_timestamp": moment,
        "name": None,
        "status": "created",
    }
