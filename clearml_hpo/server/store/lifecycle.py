"""The life of a task: its status and its place in a queue, always changed together.

::

    created -> queued -> in_progress -> completed | stopped | failed -> published
       ^ reset, from any of the others
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import forget
from clearml_hpo.server.store.models import Models
from clearml_hpo.server.store.queues import Queues
from clearml_hpo.server.store.reports import Reports
from clearml_hpo.server.store.tasks import TASKS, Tasks, seconds_between
from clearml_hpo.server.store.workers import Workers

# new status: the statuses from which it is reached without force; a status may always be set to itself.
REACHED_FROM: Mapping[str, frozenset[str]] = {
    "queued": frozenset(("created", "stopped", "failed")),
    "in_progress": frozenset(("created", "queued", "stopped", "failed")),
    "completed": frozenset(("in_progress", "stopped")),
    "stopped": frozenset(("created", "queued", "in_progress")),
    "failed": frozenset(("created", "queued", "in_progress", "stopped")),
    "published": frozenset(("completed", "stopped", "failed", "in_progress")),
    "closed": frozenset(("in_progress", "stopped", "completed", "failed")),
}
STATUSES = frozenset(("created", *REACHED_FROM))
NON_RESPONSIVE = "stopped as non-responsive"
# The datasets of clearml-data are "in progress" from their making until somebody closes them.
_SILENT = (
    "SELECT id FROM tasks WHERE status = 'in_progress' AND max(last_update, coalesce(last_worker_report, '')) < ? "
    "AND NOT EXISTS (SELECT 1 FROM json_each(system_tags) WHERE value = 'dataset')"
)
_FINAL = frozenset(("completed", "stopped", "failed", "published", "closed"))


def _may_become(current: str, status: str) -> bool:
    return current == status or current in REACHED_FROM.get(status, ())


@dataclass(frozen=True)
class Gone:
    """What a task that was deleted or reset has lost."""

    was_queued: bool
    artifact_urls: list[str]
    event_urls: list[str]
    models: list[Document]
    updated_models: int = 0
    updated_children: int = 0


class Lifecycle:
    """What may happen to a task."""

    def __init__(
        self, db: Database, clock: time.Clock, tasks: Tasks, models: Models, queues: Queues, workers: Workers
    ) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._models = models
        self._queues = queues
        self._workers = workers
        self._reports = Reports(db)

    def change(self, id_: str, status: str, *, reason: str = "", message: str = "", force: bool = False) -> Document:
        """Sets a status; returns the changed fields."""
        with self._db.transaction():
            task = self._tasks.require(id_, ["status", "started", "completed", "active_duration"])
            current = task["status"]
            if not _may_become(current, status) and not force:
                raise ApiRefusal(
                    Refusal.INVALID_TASK_STATUS,
                    "Invalid status change",
                    current_status=current,
                    new_status=status,
                )
            self._queues.remove(id_)
            return self._write(id_, status, reason, message, self._times(task, status))

    def _times(self, task: Document, status: str) -> dict[str, str]:
        """Which moments a change of status sets."""
        if status == "in_progress" and task["status"] != "in_progress":
            return {"started": time.precise(self._clock())}
        if status == "published":
            return {"published": time.precise(self._clock())}
        if status in _FINAL and (task["status"] not in _FINAL or "completed" not in task):
            return {"completed": time.precise(self._clock())}
        return {}

    def _write(self, id_: str, status: str, reason: str, message: str, extra: Mapping[str, Any]) -> Document:
        """Stores a status, and keeps how long the task ran; returns the fields as an answer shows them."""
        now = self._clock()
        shown: Document = {
            "status": status,
            "status_reason": reason,
            "status_message": message,
            "status_changed": time.precise(now),
            "last_update": time.precise(now),
            "last_change": time.precise(now),
            "last_changed_by": identity.caller(),
            **extra,
        }
        stored = {
            name: time.stored(time.parse(value)) if name in _TIMES and value else value for name, value in shown.items()
        }
        if "completed" in extra:
            started = self._tasks.require(id_, ["started"]).get("started")
            stored["active_duration"] = seconds_between(started, stored["completed"]) if started else None
        documents.update(self._db, TASKS, id_, stored)
        return shown

    # --- queues -------------------------------------------------------------------------------------------------------

    def enqueue(
        self, id_: str, queue: str | None, *, reason: str = "", message: str = "", force: bool = False
    ) -> Document:
        """Puts a task last in a queue (None: the default one); returns the changed fields."""
        with self._db.transaction():
            task = self._tasks.require(id_, ["status", "execution"])
            queue = queue or self._queues.default_id()
            self._queues.require(queue)
            current = task["status"]
            if current == "queued":
                raise ApiRefusal(Refusal.ALREADY_QUEUED, task=id_)
            if current not in REACHED_FROM["queued"] and not force:
                raise ApiRefusal(
                    Refusal.INVALID_TASK_STATUS,
                    "Invalid status change",
                    current_status=current,
                    new_status="queued",
                )
            self._queues.append(queue, id_)
            fields = self._write(id_, "queued", reason, message, {"enqueue_status": current})
            execution = {**task["execution"], "queue": queue}
            documents.update(self._db, TASKS, id_, {"execution": execution})
            return {**fields, "execution.queue": queue}

    def dequeue(
        self, id_: str, *, new_status: str | None = None, reason: str = "", message: str = ""
    ) -> Document | None:
        """Takes a task out of its queue and gives it back the status it had, or ``new_status``.

        Returns the changed fields, or None if there was nothing to do.
        """
        with self._db.transaction():
            task = self._tasks.require(id_, ["status", "enqueue_status", "execution", "started", "completed"])
            current = task["status"]
            self._queues.remove(id_)
            status = new_status or task.get("enqueue_status") or "created"
            if current != "queued" and (new_status is None or not _may_become(current, status)):
                return None
            fields = self._write(id_, status, reason, message, {"enqueue_status": None, **self._times(task, status)})
            if status != "in_progress":
                execution = {k: v for k, v in task["execution"].items() if k != "queue"}
                documents.update(self._db, TASKS, id_, {"execution": execution})
            return fields

    def empty(self, queue: str) -> int:
        """Dequeues all tasks of a queue; returns how many there were."""
        with self._db.transaction():
            entries = self._queues.entries(queue)
            for entry in entries:
                self.dequeue(entry["task"])
            return len(entries)

    # --- stop, reset, delete ------------------------------------------------------------------------------------------

    def stop(self, id_: str, *, reason: str = "", message: str = "", force: bool = False) -> Document:
        """Asks the worker that runs a task to stop it; a task that no worker runs is stopped at once."""
        with self._db.transaction():
            task = self._tasks.require(id_, ["status", "completed"])
            status = task["status"]
            if status == "in_progress" and not force and self._workers.is_running(id_):
                return self._write(id_, status, reason, "stopping", {})
            if not _may_become(status, "stopped") and not force:
                raise ApiRefusal(Refusal.INVALID_TASK_STATUS, expected="in_progress", status=status)
            self._queues.remove(id_)
            by = message or f"Stopped by {self._caller_name()}"
            extra = {} if status in ("created", "queued") else self._times(task, "stopped")
            return self._write(id_, "stopped", reason, by, extra)

    def _caller_name(self) -> str:
        row = self._db.row("SELECT name FROM users WHERE id = ?", (identity.caller(),))
        return str(row["name"]) if row else identity.caller()

    def stop_silent(self, timeout: timedelta) -> list[str]:
        """Stops tasks that run and of which, and of whose worker, nothing was heard for ``timeout``; returns their ids.

        ClearML's own server calls them non-responsive, too, and stops them in this way.
        """
        since = time.stored(self._clock() - timeout)
        if not self._db.rows(_SILENT, (since,)):  # nearly always: no lock is taken
            return []
        with self._db.transaction():
            found = [str(row["id"]) for row in self._db.rows(_SILENT, (since,))]
            for id_ in found:
                self.change(id_, "stopped", reason=NON_RESPONSIVE, message=f"nothing was heard of it for {timeout}")
            return found

    def reset(
        self, id_: str, *, force: bool = False, clear_all: bool = False, delete_models: bool = True
    ) -> tuple[Document, Gone]:
        """Makes a task as if it had never run; returns the changed fields, and what it has lost."""
        with self._db.transaction():
            task = self._tasks.require(id_)
            if task["status"] in ("in_progress", "published") and not force:
                raise ApiRefusal(Refusal.INVALID_TASK_STATUS, expected="not running", status=task["status"])
            gone = self._take_away(task, delete_models)
            execution = {k: v for k, v in task["execution"].items() if k != "queue"}
            execution["artifacts"] = [a for a in execution.get("artifacts", []) if a.get("mode") == "input"]
            cleared: Document = {
                **dict.fromkeys(_RESET),
                "last_iteration": 0,
                "runtime": {},
                "execution": execution,
                "models": {"input": task["models"].get("input", []), "output": []},
            }
            if clear_all:
                cleared |= {"script": {}, "hyperparams": {}, "configuration": {}, "container": {}}
            documents.update(self._db, TASKS, id_, cleared)
            return self._write(id_, "created", "reset", "reset", {}), gone

    def delete(self, id_: str, *, force: bool = False, delete_models: bool = True) -> Gone:
        """Removes a task with its events and, unless somebody else needs them, its models; returns what is gone."""
        with self._db.transaction():
            task = self._tasks.require(id_)
            if task["status"] != "created" and not force:
                raise ApiRefusal(
                    Refusal.TASK_CANNOT_BE_DELETED,
                    "due to status, use force=True",
                    task=id_,
                    expected="created",
                    current=task["status"],
                )
            gone = self._take_away(task, delete_models)
            documents.delete(self._db, TASKS, id_)
            children = self._db.execute("UPDATE tasks SET parent = NULL WHERE parent = ?", (id_,))
            return replace(gone, updated_children=children, updated_models=self._models.orphan(id_))

    def _take_away(self, task: Document, delete_models: bool) -> Gone:
        """Removes a task's entry in a queue, its events and its models."""
        id_ = task["id"]
        artifacts = task["execution"].get("artifacts", [])
        gone = Gone(
            was_queued=self._queues.remove(id_) is not None,
            artifact_urls=[a["uri"] for a in artifacts if a.get("mode") != "input" and a.get("uri")],
            event_urls=self._reports.urls(id_),
            models=self._models.release(id_) if delete_models else [],
        )
        forget(self._db, id_)
        return gone


_TIMES = frozenset(("status_changed", "last_update", "last_change", "started", "completed", "published"))
_RESET = (
    "enqueue_status",
    "started",
    "completed",
    "published",
    "active_duration",
    "last_worker",
    "last_worker_report",
)
