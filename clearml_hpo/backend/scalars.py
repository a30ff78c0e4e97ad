"""What tasks have reported: last values, and curves of real steps and real values, never of means of intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.lists import by_id, chunks
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import MetricSummary, Objective

CHUNK = 100
"""Tasks of one call: the most that a server takes."""

Curve = list[tuple[int, float]]

_SAMPLES = 6_000  # the most that a server takes
_RAW_POINTS = 10_000  # of one call; a server may give fewer
_SINGLE_VALUE = -(2**31)  # the iteration under which the SDK reports one


def summaries_of(last_metrics: Mapping[str, Any] | None) -> dict[str, MetricSummary]:
    """By ``title/series``. A server writes the value first, and what it counts with a moment later."""
    found = {}
    for title, series, entry in last_values(last_metrics):
        value = entry.get("value")
        if value is not None:
            low, high = entry.get("min_value"), entry.get("max_value")
            found[f"{title}/{series}"] = MetricSummary(
                value, value if low is None else low, value if high is None else high, entry.get("count") or 0
            )
    return found


def last_values(last_metrics: Mapping[str, Any] | None) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """What a task holds in ``last_metrics`` by title and series."""
    for variants in (last_metrics or {}).values():
        for entry in (variants or {}).values():
            if "metric" in entry and "variant" in entry:
                yield entry["metric"], entry["variant"], entry


def is_of_the_machine(title: str) -> bool:
    """Whether a scalar of this title is one of the SDK's own, such as the load of a GPU."""
    return title.startswith(":monitor:")


def metrics_of(api: Api, task_ids: Iterable[str]) -> list[str]:
    """The scalars, ``title/series``, that some of these tasks have reported, but for those of the machine: one call."""
    tasks = by_id(api, "tasks", task_ids, ["last_metrics"], search_hidden=True).values()
    found = {(title, series) for task in tasks for title, series, _ in last_values(task.get("last_metrics"))}
    return sorted(f"{title}/{series}" for title, series in found if not is_of_the_machine(title))


def curves_of(api: Api, scalar: Objective, task_ids: Iterable[str], long: set[str] | None = None) -> dict[str, Curve]:
    """All reported ``(iteration, value)`` by task; a task that was deleted, or has reported none, is missing.

    One call for every 100 tasks. A server answers with means of intervals where the iterations are more than 6,000; of
    such a task the events themselves are read, in a call for every 10,000 of them.

    Args:
        long: ids of tasks that are known to be such; those that turn out to be are added.
    """
    long = set() if long is None else long
    ids = list(dict.fromkeys(task_ids))
    found: dict[str, Curve] = {}
    for chunk in chunks([task_id for task_id in ids if task_id not in long], CHUNK):
        found |= _at_once(api, scalar, chunk)
    long |= {task_id for task_id, curve in found.items() if _is_averaged(curve)}
    found |= {task_id: _one_by_one(api, scalar, task_id) for task_id in ids if task_id in long}
    return {task_id: curve for task_id, curve in found.items() if curve}


def _is_averaged(curve: Curve) -> bool:
    """Whether the points may stand for intervals: they do where the iterations are more than the samples."""
    steps = [step for step, _ in curve]
    return bool(steps) and max(steps) - min(steps) >= _SAMPLES - 1


def _at_once(api: Api, scalar: Objective, task_ids: list[str]) -> dict[str, Curve]:
    while task_ids:
        try:
            answer = api.call(
                "events.multi_task_scalar_metrics_iter_histogram",
                tasks=task_ids,
                key="iter",
                samples=_SAMPLES,
                metrics=[_metric(scalar)],
            )
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise
            # One that is gone has the whole call refused.
            before, task_ids = task_ids, _existing(api, task_ids)
            if len(task_ids) == len(before):
                raise
        else:
            by_task = ((answer.get("metrics") or {}).get(scalar.title) or {}).get(scalar.series) or {}
            return {task_id: list(_points(each.get("x"), each.get("y"))) for task_id, each in by_task.items()}
    return {}


def _one_by_one(api: Api, scalar: Objective, task_id: str) -> Curve:
    """The events of one task; of several of one iteration the last counts, as in the other answer."""
    points: dict[int, float] = {}
    place: dict[str, Any] = {"count_total": True}
    total, seen = None, 0
    while total is None or seen < total:
        answer = _raw(api, scalar, task_id, place)
        each = (answer.get("variants") or {}).get(scalar.series) or {}
        points |= dict(_points(each.get("iter"), each.get("y")))
        returned = answer.get("returned") or 0
        total, seen = total or answer.get("total"), seen + returned
        place = {"scroll_id": answer.get("scroll_id")}
        if not returned or not place["scroll_id"]:
            break
    return sorted(points.items())


def _raw(api: Api, scalar: Objective, task_id: str, place: Mapping[str, Any]) -> Mapping[str, Any]:
    """The events from ``place`` on; nothing of a task that was deleted."""
    try:
        return api.call(
            "events.scalar_metrics_iter_raw",
            task=task_id,
            metric=_metric(scalar),
            key="iter",
            batch_size=_RAW_POINTS,
            **place,
        )
    except ApiError as error:
        if error.subcode == Subcode.NO_SUCH_TASK:
            return {}
        raise


def _metric(scalar: Objective) -> Mapping[str, Any]:
    return {"metric": scalar.title, "variants": [scalar.series]}


def _points(steps: Iterable[Any] | None, values: Iterable[Any] | None) -> Iterator[tuple[int, float]]:
    """A report without a value is none; a single value has no iteration."""
    for step, value in zip(steps or (), values or (), strict=False):
        if step is not None and value is not None and step != _SINGLE_VALUE:
            yield int(step), float(value)


def _existing(api: Api, task_ids: list[str]) -> list[str]:
    found = api.call("tasks.get_all", id=task_ids, only_fields=["id"], search_hidden=True)["tasks"]
    return [task["id"] for task in found]
