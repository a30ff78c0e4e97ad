"""The life of a task: its status and its place in a queue, always changed together.

::

    created -> queued -> in_progress -> completed | stopped | failed -> published
       ^ reset, from any of the others

What is allowed when is in ``rules``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.status_rules import (
    COMPLETED,
    CREATED,
    DELETED,
    FAILED,
    PUBLISHED,
    QUEUED,
    RUNNING,
    STOPPED,
    require_change,
)
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import forget
from clearml_hpo.server.store.models import Models
from clearml_hpo.server.store.queues import Queues
from clearml_hpo.server.store.reports import Reports
from clearml_hpo.server.store.tasks import TASKS, Tasks, seconds_between
from clearml_hpo.server.store.workers import Workers

NON_RESPONSIVE = "stopped as non-responsive"
# The datasets of clearml-data are "in progress" from their making until a user closes them.
_SILENT = (
    "SELECT id FROM tasks WHERE status = 'in_progress' AND max(last_update, coalesce(last_worker_report, '')) < ? "
    "AND NOT EXISTS (SELECT 1 FROM json_each(system_tags) WHERE value = 'dataset')"
)


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
        """Sets a status; returns the changed fields. An entry in a queue stays."""
        with self._db.transaction():
            task = self._tasks.require(id_, ["status"])
            require_change(task["status"], status, force=force)
            return self._write(id_, status, reason, message, **self._moments(task["status"], status))

    def _moments(self, current: str, status: str) -> Document:
        """Which moments a change of status sets."""
        now = time.precise(self._clock())
        if status == RUNNING:
            return {} if current == RUNNING else {"started": now}
        return {_MOMENT[status]: now} if status in _MOMENT else {}

    def _write(self, id_: str, status: str, reason: str, message: str, **extra: Any) -> Document:
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
        if "started" in extra:
            stored["completed"] = stored["active_duration"] = None
        if "completed" in extra:
            started = self._tasks.require(id_, ["started"]).get("started")
            stored["active_duration"] = seconds_between(started, stored["completed"]) if started else None
        documents.update(self._db, TASKS, id_, stored)
        return shown

    # --- queues -------------------------------------------------------------------------------------------------------

    def enqueue(self, id_: str, queue: str | None, *, reason: str = "", message: str = "") -> Document:
        """Puts a task last in a queue (None: the default one), out of another one; returns the changed fields."""
        with self._db.transaction():
            task = self._tasks.require(id_, ["status", "enqueue_status", "execution"])
            current = task["status"]
            require_change(current, QUEUED)
            queue = queue or self._queues.default_id()
            self._queues.require(queue)
            is_there = self._queues.has(queue, id_)
            if is_there:  # ClearML's server refuses this after it has written that it tried
                self._write(id_, QUEUED, "failed enqueueing", "", enqueue_status=None)
            else:
                self._queues.remove(id_)
                self._queues.append(queue, id_)
                before = task.get("enqueue_status") if current == QUEUED else current
                fields = self._write(id_, QUEUED, reason, message, enqueue_status=before or CREATED)
                self._set_queue(id_, task, queue)
        if is_there:
            raise ApiRefusal(Refusal.ALREADY_QUEUED, task=id_)
        return {**fields, "execution.queue": queue}

    def add(self, queue: str, id_: str, *, set_queue: bool = True) -> None:
        """Puts an entry last in a queue and leaves the task's status alone; the task need not exist."""
        with self._db.transaction():
            self._queues.require(queue)
            if self._queues.has(queue, id_):
                raise ApiRefusal(Refusal.ALREADY_QUEUED, task=id_)
            self._queues.append(queue, id_)
            task = documents.fetch(self._db, TASKS, id_, ["execution"])
            if task and set_queue:
                self._set_queue(id_, task, queue)

    def _set_queue(self, id_: str, task: Document, queue: str | None) -> None:
        others = {name: value for name, value in task["execution"].items() if name != "queue"}
        execution = {**others, "queue": queue} if queue else others
        documents.update(self._db, TASKS, id_, {"execution": execution})

    def dequeue(
        self, id_: str, *, new_status: str | None = None, reason: str = "", message: str = ""
    ) -> Document | None:
        """Takes a task out of its queue and gives it back the status it had, or ``new_status``.

        A task that runs is treated in the same way, as on ClearML's server. Returns the changed fields, or None if
        there was nothing to do: the task has another status, or is unknown.
        """
        with self._db.transaction():
            task = documents.fetch(self._db, TASKS, id_, ["status", "enqueue_status"])
            if task is None or task["status"] not in (QUEUED, RUNNING):
                return None
            status = new_status or task.get("enqueue_status") or CREATED
            self._queues.remove(id_)
            moments = self._moments(task["status"], status) if new_status else {}
            return self._write(id_, status, reason, message, enqueue_status=None, **moments)

    def empty(self, queue: str, reason: str) -> list[str]:
        """Takes all tasks out of a queue; returns their ids, next first."""
        with self._db.transaction():
            ids = [str(entry["task"]) for entry in self._queues.entries(queue)]
            for id_ in ids:
                self.take_out(queue, id_, reason)
            return ids

    def take_out(self, queue: str, id_: str, reason: str | None = None) -> None:
        """Removes an entry from a queue; with a ``reason`` a queued task gets the status back that it had.

        Inside a transaction.
        """
        self._queues.remove(id_, queue)
        task = documents.fetch(self._db, TASKS, id_, ["status", "enqueue_status", "execution"])
        if reason is None or task is None or task["status"] != QUEUED:
            return
        self._write(id_, task.get("enqueue_status") or CREATED, reason, "", enqueue_status=None)
        self._set_queue(id_, task, None)

    # --- stop, archive, reset, delete ---------------------------------------------------------------------------------

    def stop(self, id_: str, *, reason: str = "", force: bool = False) -> Document:
        """Asks the worker that runs a task to stop it; a task that no worker runs is stopped at once."""
        with self._db.transaction():
            status = self._tasks.require(id_, ["status"])["status"]
            if status in (RUNNING, CREATED) and self._workers.is_running(id_):
                return self._write(id_, status, reason, "stopping")
            require_change(status, STOPPED, force=force)
            self._queues.remove(id_)
            return self._write(id_, STOPPED, reason, f"Stopped by {self._caller_name()}")

    def archive(self, id_: str) -> None:
        """Hides a task. One that waits leaves its queue, one that runs is stopped; what was said of it is blanked."""
        with self._db.transaction():
            task = self._tasks.require(id_, ["status", "enqueue_status", "system_tags"])
            self._queues.remove(id_)
            if task["status"] == QUEUED:
                self._write(id_, task.get("enqueue_status") or CREATED, "", "", enqueue_status=None)
            elif task["status"] == RUNNING:
                self._write(id_, STOPPED, "", "")
            self._mark(id_, [*(tag for tag in task["system_tags"] if tag != ARCHIVED), ARCHIVED])

    def unarchive(self, id_: str) -> None:
        """Shows a task again."""
        with self._db.transaction():
            task = self._tasks.require(id_, ["system_tags"])
            self._mark(id_, [tag for tag in task["system_tags"] if tag != ARCHIVED])

    def _mark(self, id_: str, system_tags: list[str]) -> None:
        said = {"status_reason": "", "status_message": ""}
        self._tasks.write(id_, {"system_tags": system_tags, **said}, quiet=True)

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
            require_change(task["status"], CREATED, force=force)
            gone = self._take_away(task, delete_models)
            self._models.orphan(id_, None)
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
            return self._write(id_, CREATED, "reset", "reset"), gone

    def delete(self, id_: str, *, force: bool = False, delete_models: bool = True) -> Gone:
        """Removes a task with its events and, unless other tasks need them, its models; returns what is gone."""
        with self._db.transaction():
            task = self._tasks.require(id_)
            if task["status"] not in DELETED[force]:
                raise ApiRefusal(
                    Refusal.TASK_CANNOT_BE_DELETED,
                    "due to status, use force=True",
                    task=id_,
                    expected=CREATED,
                    current=task["status"],
                )
            gone = self._take_away(task, delete_models)
            documents.delete(self._db, TASKS, id_)
            former = f"__DELETED__{id_}"
            children = self._db.execute("UPDATE tasks SET parent = ? WHERE parent = ?", (former, id_))
            return replace(gone, updated_children=children, updated_models=self._models.orphan(id_, former))

    def _take_away(self, task: Document, delete_models: bool) -> Gone:
        """Removes a task's entry in a queue, its events and its models."""
        id_ = task["id"]
        artifacts = task["execution"].get("artifacts", [])
        gone = Gone(
            was_queued=self._queues.remove(id_),
            artifact_urls=[a["uri"] for a in artifacts if a.get("mode") != "input" and a.get("uri")],
            event_urls=self._reports.urls(id_),
            models=self._models.release(id_) if delete_models else [],
        )
        forget(self._db, id_)
        return gone


ARCHIVED = "archived"  # a system tag
# The moment that a change to a status notes. Closing notes none.
_MOMENT = {STOPPED: "completed", FAILED: "completed", COMPLETED: "completed", PUBLISHED: "published"}
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
