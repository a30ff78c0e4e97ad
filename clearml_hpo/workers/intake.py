"""The queues that workers of this machine serve: what is next, which are closed or gone, what was left behind."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import LOST, PULLED_BY, QUEUE_CLOSED, Subcode
from clearml_hpo.backend.lists import rows
from clearml_hpo.backend.withdrawal import SETTLE_S, put_back
from clearml_hpo.core.errors import ApiError
from clearml_hpo.machine.processes import identify, is_alive, pid_space
from clearml_hpo.workers.slots import Slot

_TAGS_S = 5.0


class Intake:
    """Queues, the first that has a task comes first."""

    def __init__(self, api: Api, queues: Sequence[str], on_note: Callable[[str], None]) -> None:
        """``queues`` has ids; ``on_note`` hears which of them are gone."""
        self._api = api
        self._queues = tuple(queues)
        self._on_note = on_note
        self._gone: set[str] = set()
        self._closed: set[str] = set()
        self._tags_due = 0.0

    @property
    def there(self) -> list[str]:
        """The queues that are not known to be deleted."""
        return [queue for queue in self._queues if queue not in self._gone]

    def register(self, worker: str) -> None:
        """Registers a worker for the queues that are there: one that is not has the whole call refused."""
        try:
            self._api.call("workers.register", worker=worker, queues=self.there)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_QUEUE or not self._drop_deleted():
                raise
            self._api.call("workers.register", worker=worker, queues=self.there)

    def next_task(self) -> tuple[str, str] | None:
        """Takes the first task of the first open queue that has one; the task and that queue."""
        for queue in self._open():
            try:
                entry = self._api.call("queues.get_next_task", queue=queue).get("entry")
            except ApiError as error:
                if error.subcode != Subcode.NO_SUCH_QUEUE:
                    raise
                self._lose(queue)
                continue
            if entry:
                return entry["task"], queue
        return None

    def recover(self) -> None:
        """Sees to the tasks of workers of these queues and this machine whose process died."""
        for task in self._tasks("in_progress"):
            worker = puller(task)
            if _is_dead(worker):
                self._end_lost(task["id"], f"{LOST} worker {worker} died")
        strays = self._strays()
        if strays:
            time.sleep(SETTLE_S)  # another worker may just have taken it
            strays = {task_id: queue for task_id, queue in self._strays().items() if task_id in strays}
        for task_id, queue in strays.items():
            put_back(self._api, task_id, queue)

    def _open(self) -> Collection[str]:
        """The queues that are there and not closed; their tags are read now and then."""
        if self.there and (now := time.monotonic()) >= self._tags_due:
            found = self._api.call("queues.get_all", id=self.there, only_fields=["id", "tags"])["queues"]
            self._closed = {queue["id"] for queue in found if QUEUE_CLOSED in (queue.get("tags") or ())}
            self._tags_due = now + _TAGS_S
        return [queue for queue in self.there if queue not in self._closed]

    def _drop_deleted(self) -> bool:
        """Looks which queues are gone; whether there are some of which that was not known."""
        found = self._api.call("queues.get_all", id=self.there, only_fields=["id"])["queues"]
        gone = set(self.there) - {queue["id"] for queue in found}
        for queue in gone:
            self._lose(queue)
        return bool(gone)

    def _lose(self, queue: str) -> None:
        self._gone.add(queue)
        self._on_note(f"the queue {queue} is not there any more")

    def _end_lost(self, task_id: str, reason: str) -> None:
        try:
            self._api.call("tasks.failed", task=task_id, force=True, status_reason=reason)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise

    def _strays(self) -> dict[str, str]:
        """Tasks that were taken from a queue and never started, each with that queue."""
        tasks = self._tasks("queued")
        if not tasks:
            return {}
        queues = self._api.call("queues.get_all", id=self.there, only_fields=["id", "entries"])["queues"]
        waiting = {entry["task"] for queue in queues for entry in queue.get("entries") or ()}
        return {task["id"]: _queue_of(task) for task in tasks if task["id"] not in waiting}

    def _tasks(self, status: str) -> list[Mapping[str, Any]]:
        fields = ["id", "status", "status_reason", "execution.queue", "last_worker"]
        filters = {"status": [status], "only_fields": fields, "order_by": ["created"], "search_hidden": True}
        return [task for task in rows(self._api, "tasks", filters) if _queue_of(task) in self.there]


def worker_id(name: str, pid: int, slot: Slot) -> str:
    """``host:name-pid.space:slot``: unique among all processes, and it tells whether its own is alive."""
    return f"{socket.gethostname()}:{name}-{pid}.{pid_space()}:{slot.name}"


def puller(task: Mapping[str, Any]) -> str:
    """The worker that a task runs on, also if that one has not come to say so, or the script has taken over."""
    reason = str(task.get("status_reason") or "")
    return reason.removeprefix(PULLED_BY) if reason.startswith(PULLED_BY) else str(task.get("last_worker") or "")


def _queue_of(task: Mapping[str, Any]) -> str:
    return str((task.get("execution") or {}).get("queue") or "")


def _is_dead(worker: str) -> bool:
    """Whether a worker was one of this machine, and its process is gone (this one has no tasks when it asks)."""
    match = re.fullmatch(re.escape(socket.gethostname()) + r":.+-(\d+)\.(\w+):[^:]+", worker)
    if match is None or match[2] != pid_space():
        return False
    pid = int(match[1])
    return pid == os.getpid() or not is_alive(identify(pid))
