"""``events.*``: raw scalars, and names of metrics and variants, of several tasks at once."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, DICT, INT, STR, STRINGS, required
from clearml_hpo.server.services.events import required_names, scalar_key
from clearml_hpo.server.store.events import SCALAR
from clearml_hpo.server.store.query import offset_of, scroll_id_of

service = Service("events")

_MOST = 100_000


@service.endpoint("get_multi_task_metrics", tasks=required(STRINGS), event_type=STR, model_events=BOOL)
def get_multi_task_metrics(call: Call) -> Data:
    """Names of the metrics and variants of which some tasks reported events of one kind, or of any."""
    tasks, kind = list(required_names(call, call.data["tasks"])), call.get("event_type")
    found: dict[str, set[str]] = {}
    pairs = call.store.scalars.names_of(tasks) if kind in (None, SCALAR) else []
    if kind != SCALAR:
        pairs = [*pairs, *call.store.reports.names_of(tasks, kind)]
    for metric, variant in pairs:
        found.setdefault(metric, set()).add(variant)
    return {"metrics": [{"metric": metric, "variants": sorted(found[metric])} for metric in sorted(found)]}


@service.endpoint(
    "scalar_metrics_iter_raw",
    "2.16",
    **{"task": required(STR), "metric": required(DICT), "key": STR, "batch_size": INT, "scroll_id": STR},
    **{"count_total": BOOL, "model_events": BOOL},
)
def scalar_metrics_iter_raw(call: Call) -> Data:
    """The points of one metric as they were reported, a part at a time."""
    task, key = call.data["task"], scalar_key(call)
    required_names(call, [task])
    metric = call.data["metric"]
    if not isinstance(metric.get("metric"), str):
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'metric.metric'. field is required!")
    offset, size = offset_of(call.data), max(1, min(call.get("batch_size", 10_000), _MOST))
    points, total = call.store.scalars.raw(task, metric, key, offset, size)
    variants: Data = {}
    for variant, x, y in points:
        each = variants.setdefault(variant, {"y": [], key: []})
        each["y"].append(y)
        each[key].append(x)
    return {
        "returned": len(points),
        "total": total if call.get("count_total") else None,
        "scroll_id": scroll_id_of(offset + len(points)),
        "variants": variants,
    }
