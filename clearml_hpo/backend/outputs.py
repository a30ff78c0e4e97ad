"""What tasks keep on the server: console logs, and files as artifacts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from clearml_hpo.backend import storage
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.lists import by_id

_LOG_EVENTS = 5_000


def console_log(
    api: Api, task_id: str, batch: int = _LOG_EVENTS, goes_on: Callable[[], bool] = lambda: False
) -> Iterator[str]:
    """The lines of a task's console, the first one first; a call for every ``batch`` reports, and one more.

    ``goes_on`` is asked when there are no more: if True, it is looked for those that have come since.
    """
    place: dict[str, Any] = {}
    while True:
        # Reports of one millisecond are never in two batches, so that the next one begins after the last time stamp.
        events = api.call(
            "events.get_task_log", task=task_id, order="asc", navigate_earlier=False, batch_size=batch, **place
        ).get("events")
        for event in events or ():
            yield str(event.get("msg") or "").rstrip("\n")
        times = [event["timestamp"] for event in events or () if event.get("timestamp") is not None]
        if times and place.get("from_timestamp") != max(times):
            place = {"from_timestamp": max(times)}
        elif not goes_on():
            return


def artifact_addresses(api: Api, task_ids: Sequence[str], name: str) -> dict[str, str]:
    """Addresses of the artifacts of this name by task, in one call for every 500; tasks without one are left out."""
    found: dict[str, str] = {}
    for task in by_id(api, "tasks", task_ids, ["execution.artifacts"], search_hidden=True).values():
        for artifact in (task.get("execution") or {}).get("artifacts") or ():
            if artifact.get("key") == name and artifact.get("uri"):
                found[task["id"]] = str(artifact["uri"])
    return found


def store(api: Api, uri: str, name: str, content: bytes, content_type: str, preview: str = "") -> dict[str, Any]:
    """Puts a file on the file server; returns the artifact ``name`` that a task may list then.

    Raises:
        ServerError: the file server did not take it.
    """
    storage.store(api, uri, content)
    return {
        "key": name,
        "type": "custom",
        "mode": "output",
        "uri": uri,
        "content_size": len(content),
        "hash": hashlib.sha256(content).hexdigest(),
        "timestamp": int(time.time()),
        "type_data": {"preview": preview, "content_type": content_type},
    }
