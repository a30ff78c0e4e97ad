"""Workers: who reported lately, and what it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, Kind
from clearml_hpo.server.store.history import History
from clearml_hpo.server.store.query import select

WORKERS = Collection(
    "workers",
    {
        "id": Kind.TEXT,
        "ip": Kind.TEXT,
        "register_time": Kind.TIME,
        "register_timeout": Kind.INTEGER,
        "last_activity_time": Kind.TIME,
        "last_report_time": Kind.TIME,
        "task": Kind.TEXT,
        "queue": Kind.TEXT,
        "queues": Kind.LIST,
        "tags": Kind.LIST,
        "system_tags": Kind.LIST,
    },
)
TIMEOUT_S = 600
"""A worker that has not reported for this long is gone, if it did not register with another time."""


class Workers:
    """The workers of the store."""

    def __init__(self, db: Database, clock: time.Clock, history: History) -> None:
        self._db = db
        self._clock = clock
        self._history = history

    def register(self, id_: str, ip: str, fields: Mapping[str, Any]) -> None:
        """Notes a worker that begins; what was known of its id is forgotten."""
        now = time.precise(self._clock())
        document = {
            "id": id_,
            "ip": ip,
            "register_time": now,
            "register_timeout": fields.get("timeout") or TIMEOUT_S,
            "last_activity_time": now,
            "queues": fields.get("queues") or [],
            "tags": fields.get("tags") or [],
            "system_tags": fields.get("system_tags") or [],
        }
        with self._db.transaction():
            documents.delete(self._db, WORKERS, id_)
            documents.insert(self._db, WORKERS, document)
            self._history.worker_seen(id_, busy=False)

    def unregister(self, id_: str) -> int:
        """Forgets a worker; returns 1, or 0 if it was unknown."""
        with self._db.transaction():
            return documents.delete(self._db, WORKERS, id_)

    def report(self, id_: str, ip: str, fields: Mapping[str, Any]) -> None:
        """Notes a sign of life, and which task and queue it is about; an unknown worker is taken in."""
        now = time.precise(self._clock())
        task = fields.get("task") or None
        changes: Document = {
            "last_report_time": now,
            "last_activity_time": now,
            "task": task,
            "queue": fields.get("queue") or None,
            "tags": fields.get("tags") or [],
            "system_tags": fields.get("system_tags") or [],
        }
        if fields.get("queues") is not None:
            changes["queues"] = fields["queues"]
        with self._db.transaction():
            if not documents.update(self._db, WORKERS, id_, changes):
                self.register(id_, ip, fields)
                documents.update(self._db, WORKERS, id_, changes)
            self._history.worker_seen(id_, busy=task is not None)
            if task:
                self._db.execute(
                    "UPDATE tasks SET last_worker = ?, last_worker_report = ? WHERE id = ?",
                    (id_, time.stored(self._clock()), task),
                )

    def seen(self, last_seen_s: float | None = None, request: Mapping[str, Any] | None = None) -> list[Document]:
        """Workers that are registered, or that reported in the last ``last_seen_s`` seconds; with tags of a request."""
        wanted = {name: (request or {}).get(name) for name in ("tags", "system_tags")}
        found = select(self._db, WORKERS, wanted)
        return [worker for worker in found if self._alive(worker, last_seen_s)]

    def _alive(self, worker: Document, last_seen_s: float | None) -> bool:
        silence = self._clock() - time.parse(worker["last_activity_time"])
        return silence.total_seconds() <= (
            last_seen_s if last_seen_s and last_seen_s > 0 else worker["register_timeout"]
        )

    def is_running(self, task: str) -> bool:
        """Whether a live worker says that it runs this task."""
        rows = self._db.rows("SELECT * FROM workers WHERE task = ?", (task,))
        return any(self._alive(worker, None) for worker in WORKERS.decode(rows))
