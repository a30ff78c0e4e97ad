"""``events.*``: what several of the requests have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from clearml_hpo.server.endpoint import Call
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.events import KINDS

_SCROLL = re.compile(r"[0-9a-f]{1,10}(-end)?")
_KEYS = ("iter", "timestamp", "iso_time")


def wrong(name: str, why: str) -> ApiRefusal:
    """The refusal of a field of the request."""
    return ApiRefusal(Refusal.VALIDATION, f"error for field '{name}': {why}")


def chosen(call: Call, name: str, allowed: Sequence[str], default: str | None, *, or_null: bool = False) -> str | None:
    """A field that has one of some values; null is none of them, or stands for the default."""
    value = call.data.get(name, default)
    if value is None and or_null:
        return default
    if name in call.data and value not in allowed:
        raise wrong(name, f"one of {', '.join(allowed)}, not {value!r:.100}")
    return value


def kind_of(call: Call) -> str | None:
    """The type of the events that are asked for; None where the request has none."""
    return chosen(call, "event_type", KINDS, None)


def scalar_key(call: Call, *, or_null: bool = False) -> str:
    """What the x axis shall be."""
    return chosen(call, "key", _KEYS, None, or_null=or_null) or _KEYS[0]


def bounded(call: Call, name: str, default: int, least: int, most: int = 2**62) -> int:
    """A whole number within bounds; null is none."""
    value = call.data.get(name, default)
    if value is None or not least <= int(value) <= most:
        raise wrong(name, f"a whole number from {least}{f' to {most}' if most < 2**62 else ''}, not {value}")
    return int(value)


def flag(call: Call, name: str, default: bool) -> bool:
    """A flag; null is false, also where one that is missing is true."""
    return bool(call.data.get(name, default))


def metrics_of(call: Call) -> list[dict[str, Any]]:
    """The ``{metric, variants}`` of the request; none: of all."""
    metrics: list[dict[str, Any]] = call.get("metrics") or []
    for each in metrics:
        check_metric("metrics", each)
    return metrics


def check_metric(field: str, metric: dict[str, Any]) -> None:
    """Refuses what is no ``{metric, variants}``."""
    variants = metric.get("variants")
    if not isinstance(metric.get("metric"), str):
        raise wrong(f"{field}.metric", "field is required, and a text")
    if not isinstance(variants, list | None) or not all(isinstance(each, str) for each in variants or []):
        raise wrong(f"{field}.variants", f"a list of texts, not {variants!r:.100}")


def owner_name(call: Call) -> str:
    """The name of the task (or model) of the request; refuses one that is not there."""
    return owner_names(call, [call.data["task"]])[call.data["task"]]


def owner_names(call: Call, ids: Sequence[str], *, field: str = "tasks", most: int = 2**62) -> dict[str, str]:
    """Names of tasks (or, for model events, models) by id; refuses all if one of them is not there."""
    if not 0 < len(ids) <= most:
        raise wrong(field, f"{len(ids)} items, and not 1 to {most}" if ids else "at least one item")
    collection, refusal = (
        (call.store.models, Refusal.INVALID_MODEL_ID)
        if call.get("model_events")
        else (call.store.tasks, Refusal.INVALID_TASK_ID)
    )
    try:
        return {id_: collection.require(id_, ["name"])["name"] for id_ in ids}
    except ApiRefusal:
        raise ApiRefusal(refusal, ids=f"({', '.join(ids)})") from None


# --- scrolls ----------------------------------------------------------------------------------------------------------


def offset_of(call: Call) -> int:
    """Where the scroll of a request goes on, or 0 where it begins; refuses an id that is none."""
    scroll_id = call.get("scroll_id") or ""
    if scroll_id and not _SCROLL.fullmatch(scroll_id):
        raise ApiRefusal(Refusal.INVALID_SCROLL_ID, scroll_id=scroll_id)
    return int(scroll_id.removesuffix("-end") or "0", 16)


def scroll_id_of(offset: int, returned: int) -> str:
    """The id with which a scroll goes on; it changes with each step up to the first that brings nothing."""
    return f"{offset + returned:x}" if returned else f"{offset:x}-end"
