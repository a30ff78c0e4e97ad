"""``events.*``: names of metrics and variants, and what was reported as vectors."""

from __future__ import annotations

from collections.abc import Iterable

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL, STR, STRINGS, required
from clearml_hpo.server.services.event_fields import kind_of, owner_name, owner_names
from clearml_hpo.server.store.events import SCALAR, VECTOR
from clearml_hpo.server.store.reports import MOST

service = Service("events")


@service.endpoint("get_multi_task_metrics", tasks=required(STRINGS), event_type=STR, model_events=BOOL)
def get_multi_task_metrics(call: Call) -> Data:
    """Names of the metrics and variants of which some tasks reported events of one kind, or of any."""
    kind, tasks = kind_of(call), list(owner_names(call, call.data["tasks"]))
    pairs = call.store.scalars.names_of(tasks) if kind in (None, SCALAR) else []
    if kind != SCALAR:
        pairs = [*pairs, *call.store.reports.names_of(tasks, kind)]
    return {"metrics": [{"metric": metric, "variants": found} for metric, found in sorted(_by_metric(pairs).items())]}


@service.endpoint("get_scalar_metrics_and_variants", task=required(STR), model_events=BOOL)
def get_scalar_metrics_and_variants(call: Call) -> Data:
    """Names of a task's metrics and variants."""
    owner_name(call)
    return {"metrics": _by_metric(call.store.scalars.names_of([call.data["task"]]))}


@service.endpoint("get_vector_metrics_and_variants", task=required(STR), model_events=BOOL)
def get_vector_metrics_and_variants(call: Call) -> Data:
    """Names of the metrics and variants of which a task reported vectors."""
    owner_name(call)
    return {"metrics": _by_metric(call.store.reports.names_of([call.data["task"]], VECTOR))}


def _by_metric(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for metric, variant in sorted(set(pairs)):
        found.setdefault(metric, []).append(variant)
    return found


@service.endpoint(
    "vector_metrics_iter_histogram",
    **{"task": required(STR), "metric": required(STR), "variant": required(STR), "model_events": BOOL},
)
def vector_metrics_iter_histogram(call: Call) -> Data:
    """The vectors of one metric and variant by iteration."""
    owner_name(call)
    metric, variant = call.data["metric"], call.data["variant"]
    wanted = [{"metric": metric, "variants": [variant]}]
    events = call.store.streams.part(call.data["task"], VECTOR, 0, MOST, metrics=wanted)[0]
    return {
        "metric": metric,
        "variant": variant,
        "vectors": [event.get("values") for event in events],
        "iterations": [event["iter"] for event in events],
    }
