"""What tasks have left on the server: console logs, and artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clearml import StorageManager

from clearml_hpo.errors import ServerError
from clearml_hpo.tasks.api import Api

_CHUNK = 500
_LOG_EVENTS = 5_000


def console_log(api: Api, task_id: str) -> Iterator[str]:
    """The lines of a task's console, the first one first; a call for every 5,000 reports, and one more."""
    scroll: dict[str, Any] = {}
    while True:
        answer = api.call(
            "events.get_task_events",
            task=task_id,
            event_type="log",
            order="asc",
            batch_size=_LOG_EVENTS,
            **scroll,
        )
        for event in answer["events"]:
            yield str(event.get("msg", "")).rstrip("\n")
        if not answer["events"]:
            return
        scroll = {"scroll_id": answer.get("scroll_id")}


def artifact_addresses(api: Api, task_ids: Sequence[str], name: str) -> dict[str, str]:
    """Addresses of the artifacts of this name by task, in one call for every 500; tasks without one are left out."""
    found: dict[str, str] = {}
    for start in range(0, len(task_ids), _CHUNK):
        chunk = list(task_ids[start : start + _CHUNK])
        tasks = api.call(
            "tasks.get_all",
            id=chunk,
            page=0,
            page_size=_CHUNK,
            only_fields=["id", "execution.artifacts"],
            search_hidden=True,
        )["tasks"]
        for task in tasks:
            for artifact in (task.get("execution") or {}).get("artifacts") or ():
                if artifact.get("key") == name and artifact.get("uri"):
                    found[task["id"]] = str(artifact["uri"])
    return found


def download(address: str, path: Path) -> None:
    """Fetches a stored file, wherever it is.

    Raises:
        ServerError: the storage does not give it.
    """
    try:
        found = StorageManager.get_local_copy(address, extract_archive=False, force_download=True)
    except Exception as error:  # each storage has errors of its own
        raise ServerError(f"cannot download {address}: {error}") from None
    if not found:
        raise ServerError(f"cannot download {address}")
    shutil.copyfile(found, path)
