"""Workers: what each runs, and when it was heard of last."""

from __future__ import annotations

from starlette.responses import Response

from clearml_hpo.server import clock as time
from clearml_hpo.server.pages import render
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document

_LATELY_S = 120
"""The page of workers shows the mean of the load over this time."""
# What a worker may report of its machine, and in which unit.
_STATISTICS = {
    "cpu_usage": "CPU %",
    "memory_used": "memory used, MB",
    "memory_free": "memory free, MB",
    "gpu_usage": "GPU %",
    "gpu_memory_used": "GPU memory used, MB",
    "disk_free_home": "disk free, %",
}


def show(visit: Visit) -> Response:
    """All workers."""
    found = listed(visit)
    return render.page("workers.html", workers=found, statistics=_statistics(visit, found))


def listed(visit: Visit) -> list[Document]:
    """Workers as ``workers.get_all`` shows them."""
    found: list[Document] = visit.call("workers.get_all")["workers"]
    return found


def _statistics(visit: Visit, workers: list[Document]) -> dict[str, list[tuple[str, float]]]:
    """What each worker said of its machine lately."""
    if not workers:
        return {}
    now = time.milliseconds(visit.store.clock()) / 1000
    asked = {
        "from_date": now - _LATELY_S,
        "to_date": now,
        "interval": _LATELY_S,
        "items": [{"key": key, "aggregation": "avg"} for key in _STATISTICS],
        "worker_ids": [worker["id"] for worker in workers],
    }
    return {each["worker"]: latest(each) for each in visit.call("workers.get_stats", **asked)["workers"]}


def latest(worker: Document) -> list[tuple[str, float]]:
    """The last value of each statistic of a worker, as ``workers.get_stats`` answers them."""
    found = []
    for metric in worker.get("metrics", []):
        values = [value for stats in metric.get("stats", []) for value in stats.get("values", []) if value is not None]
        if values and metric.get("metric") in _STATISTICS:
            found.append((_STATISTICS[metric["metric"]], values[-1]))
    return found
