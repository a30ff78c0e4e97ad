"""``workers.*``: what workers say of their machines, over time."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import EXACT_BOOL, EXACT_STRINGS, items, one_of, required
from clearml_hpo.server.services.steps import PERIOD, steps_of
from clearml_hpo.server.services.workers import STATISTICS
from clearml_hpo.server.store.machines import AGGREGATIONS

service = Service("workers")

_VERSION = "2.4"


@service.endpoint(
    "get_stats",
    _VERSION,
    items=required(items({"key": required(one_of(*STATISTICS))})),
    worker_ids=EXACT_STRINGS,
    split_by_variant=EXACT_BOOL,
    **PERIOD,
)
def get_stats(call: Call) -> Data:
    """Machine statistics of some workers in steps of ``interval`` seconds; steps in which nothing came are left out."""
    asked, steps = _asked(call), steps_of(call)
    period = range(steps.start, steps.end, steps.size)
    by_variant = bool(call.get("split_by_variant"))
    rows = call.store.machines.steps(call.get("worker_ids", []), list(asked), period, by_variant=by_variant)
    workers = []
    for worker, of_worker in groupby(rows, lambda row: row["worker"]):
        series = groupby(of_worker, lambda row: (row["metric"], row["variant"]))
        workers.append({"worker": worker, "metrics": [_shown(*key, list(each), asked) for key, each in series]})
    return {"workers": workers}


def _asked(call: Call) -> dict[str, list[str]]:
    """The aggregations that are asked for, by metric."""
    asked: dict[str, list[str]] = {}
    for item in call.data["items"]:
        aggregation = item.get("aggregation") or item.get("category") or "avg"
        if aggregation not in AGGREGATIONS:
            allowed = ", ".join(AGGREGATIONS)
            raise ApiRefusal(Refusal.VALIDATION, f"error for field 'items.aggregation': one of {allowed}")
        asked.setdefault(str(item.get("key")), []).append(aggregation)
    return asked


def _shown(metric: str, variant: str, rows: list[Any], asked: dict[str, list[str]]) -> Data:
    return {
        "metric": metric,
        **({"variant": variant} if variant else {}),
        "dates": [row["date"] for row in rows],
        "stats": [{"aggregation": name, "values": [row[name] for row in rows]} for name in asked[metric]],
    }


@service.endpoint("get_metric_keys", _VERSION, worker_ids=EXACT_STRINGS)
def get_metric_keys(call: Call) -> Data:
    """The machine statistics there are, by category: what comes before the underscore."""
    names = call.store.machines.metrics(call.get("worker_ids", []))
    if not names:
        raise ApiRefusal(Refusal.WORKER_STATS_NOT_FOUND, f"of the workers {call.get('worker_ids', [])}")
    categories = groupby(names, lambda name: name.partition("_")[0])
    return {"categories": [{"name": name, "metric_keys": list(keys)} for name, keys in categories]}
