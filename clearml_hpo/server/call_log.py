"""Which calls were made, of tasks of which status: tests look whether ClearML's server would allow them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.store.database import Database

_MOST_TASKS = 500


class CallLog:
    """Writes a JSON line a call into a file of its process.

    A line has ``endpoint``, ``agent`` (what the client calls itself), ``fields`` (names), ``force``, ``statuses`` (of
    the tasks that the call is about, before it; "unknown" for one that is not there), ``answer`` (code, subcode) and
    ``why`` (what a refusal says).
    """

    def __init__(self, folder: Path, db: Database) -> None:
        """``folder`` must be there."""
        self._db = db
        self._lock = threading.Lock()
        self._file = (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8", buffering=1)

    @contextmanager
    def noting(self, endpoint: str, agent: str, data: Mapping[str, Any], batch: Sequence[Any]) -> Iterator[None]:
        """Within the block the call is answered."""
        statuses, answer, why = self._statuses(endpoint, data), [200, 0], ""
        try:
            yield
        except ApiRefusal as refusal:
            answer, why = [refusal.code, refusal.subcode], str(refusal)
            raise
        finally:
            fields = {name for each in (data, *batch) if isinstance(each, Mapping) for name in each}
            line = {
                **{"endpoint": endpoint, "agent": agent, "fields": sorted(fields), "force": bool(data.get("force"))},
                **{"statuses": statuses, "answer": answer, "why": why},
            }
            with self._lock:
                self._file.write(f"{json.dumps(line)}\n")

    def _statuses(self, endpoint: str, data: Mapping[str, Any]) -> list[str]:
        service = endpoint.partition(".")[0]
        asked = [data.get("task"), *(data.get("ids") or [] if service == "tasks" else [])]
        ids = [id_ for id_ in asked if isinstance(id_, str)][:_MOST_TASKS]
        if not ids:
            return []
        rows = self._db.rows(
            "SELECT id, status FROM tasks WHERE id IN (SELECT value FROM json_each(?))", [json.dumps(ids)]
        )
        found = {row["id"]: row["status"] for row in rows}
        return sorted({found.get(id_, "unknown") for id_ in ids})

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
