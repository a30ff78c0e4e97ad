"""Comparing answers by shape: the same keys and the same types, not the same values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Objects whose keys are names that people chose, or hashes of them: only what is in them has a shape.
MAPS = frozenset(
    (
        "last_metrics",
        "metric_stats",
        "hyperparams",
        "configuration",
        "runtime",
        "event_stats_by_type",
        "requirements",
        "a section",
    )
)
# Documents have optional fields: those that were recorded must be there, others may.
DOCUMENTS = frozenset(
    (
        *("task", "tasks", "model", "models", "project", "projects", "queue", "queues", "worker", "workers"),
        *("events", "plots", "execution", "script", "next_task", "a parameter"),
    )
)
# The transport's own words, which the recorded server stored with each event.
ECHOED = frozenset(("method", "allow_locked"))


def differences(recorded: Any, ours: Any, path: str = "", name: str = "") -> Iterator[str]:
    """What is not as recorded, one line each."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        yield from _objects(recorded, ours, path, name)
    elif isinstance(recorded, list) and isinstance(ours, list):
        if recorded and not ours:
            yield f"{path}: empty, recorded with {len(recorded)}"
        elif recorded:
            yield from differences(recorded[0], ours[0], f"{path}[0]", name)
    elif _kind(recorded) != _kind(ours):
        yield f"{path}: {_kind(ours)}, recorded {_kind(recorded)}"


def _objects(recorded: dict[str, Any], ours: dict[str, Any], path: str, name: str) -> Iterator[str]:
    if name in MAPS:
        if recorded and not ours:
            yield f"{path}: empty"
        elif recorded:
            yield from differences(next(iter(recorded.values())), next(iter(ours.values())), f"{path}.*", _below(name))
        return
    missing = recorded.keys() - ours.keys() - ECHOED
    extra = ours.keys() - recorded.keys()
    yield from (f"{path}.{key}: missing" for key in sorted(missing))
    if name not in DOCUMENTS:
        yield from (f"{path}.{key}: not recorded" for key in sorted(extra))
    for key in recorded.keys() & ours.keys():
        yield from differences(recorded[key], ours[key], f"{path}.{key}", key)


def _below(name: str) -> str:
    """last_metrics and hyperparams are maps of maps."""
    return {"a section": "a parameter", "last_metrics": "event_stats_by_type", "hyperparams": "a section"}.get(
        name, "a parameter"
    )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__
