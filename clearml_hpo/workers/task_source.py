"""Where the tasks of workers come from: ClearML queues, or an inbox of tasks that are named one by one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import QUEUE_CLOSED, Subcode
from clearml_hpo.backend.withdrawal import put_back
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.notes import Note
from clearml_hpo.workers.recovery import queue_of, recover

_TAGS_S = 5.0
"""How long the tags of queues count before they are read again."""


@dataclass(frozen=True)
class Taken:
    """A task that no other worker can have any more.

    Attributes:
        queue: id of the queue that its entry was in.
    """

    task_id: str
    queue: str


class Source(Protocol):
    """Provides tasks to workers. Their thread makes all of these calls, and lends its connection."""

    @property
    def queues(self) -> list[str]:
        """Ids of the queues that the workers serve, as they tell the server."""

    def register(self, api: Api, worker: str) -> None:
        """Registers a worker by its id."""

    def recover(self, api: Api) -> None:
        """Cleans up what earlier workers of this machine have left; called once, before the first task is taken."""

    def next_task(self, api: Api) -> Taken | None:
        """Takes a task; None if there is none now."""

    def give_back(self, api: Api, taken: Taken) -> None:
        """Lets other workers have a task that was taken and not started.

        Raises:
            ApiError: the server refuses, or does not answer.
        """


class QueueSource:
    """ClearML queues; the first that has a task comes first."""

    def __init__(self, queues: Sequence[str], on_note: Callable[[str], None]) -> None:
        """``queues`` are ids; ``on_note`` prints a line for the user if one was deleted."""
        self._queues = tuple(queues)
        self._on_note = on_note
        self._gone: set[str] = set()
        self._closed: set[str] = set()
        self._tags_due = 0.0

    @property
    def queues(self) -> list[str]:
        """Ids of the queues that are not known to be deleted."""
        return [queue for queue in self._queues if queue not in self._gone]

    def register(self, api: Api, worker: str) -> None:
        """Registers a worker for the queues that are there: the server refuses the whole call if one is not."""
        try:
            api.call("workers.register", worker=worker, queues=self.queues)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_QUEUE or not self._drop_deleted(api):
                raise
            api.call("workers.register", worker=worker, queues=self.queues)

    def recover(self, api: Api) -> None:
        """Fails or puts back what dead workers of this machine have left of these queues."""
        recover(api, self.queues)

    def next_task(self, api: Api) -> Taken | None:
        """Takes the first task of the first open queue that has one."""
        for queue in self._open(api):
            try:
                entry = api.call("queues.get_next_task", queue=queue).get("entry")
            except ApiError as error:
                if error.subcode != Subcode.NO_SUCH_QUEUE:
                    raise
                self._drop(queue)
                continue
            if entry:
                return Taken(entry["task"], queue)
        return None

    def give_back(self, api: Api, taken: Taken) -> None:
        """Puts a task last in its queue, if it is still queued."""
        put_back(api, taken.task_id, taken.queue)

    def _open(self, api: Api) -> Collection[str]:
        """The queues that exist and are not closed, by their tags of the last few seconds."""
        if self.queues and (now := time.monotonic()) >= self._tags_due:
            found = api.call("queues.get_all", id=self.queues, only_fields=["id", "tags"])["queues"]
            self._closed = {queue["id"] for queue in found if QUEUE_CLOSED in (queue.get("tags") or ())}
            self._tags_due = now + _TAGS_S
        return [queue for queue in self.queues if queue not in self._closed]

    def _drop_deleted(self, api: Api) -> bool:
        """Drops the queues that were deleted; True if there is one."""
        found = api.call("queues.get_all", id=self.queues, only_fields=["id"])["queues"]
        gone = set(self.queues) - {queue["id"] for queue in found}
        for queue in gone:
            self._drop(queue)
        return bool(gone)

    def _drop(self, queue: str) -> None:
        self._gone.add(queue)
        self._on_note(Note(f"queue {queue} was deleted; it is no longer served here", level="warning", queue=queue))


class Inbox:
    """Tasks that are handed over by their ids, such as to the job of a cluster that is to run one task and leave.

    A task is run only if it is queued, and only by the worker that gets its entry out of its queue. So one worker runs
    it, even if others find it in their inboxes or in the queue. All tasks are done once :attr:`remaining` is 0 and then
    ``LocalWorkers.is_idle_for(0)`` is true.
    """

    def __init__(self, on_note: Callable[[str], None]) -> None:
        """``on_note`` prints a line for the user for each task that is not run here."""
        self._waiting: deque[str] = deque()
        self._unanswered: set[str] = set()  # it is not known whether their entry was taken
        self._on_note = on_note

    def put(self, task_id: str) -> None:
        """Hands over a task, from any thread; ``LocalWorkers.look_now`` has it looked at without delay."""
        self._waiting.append(task_id)

    @property
    def remaining(self) -> int:
        """How many tasks were neither taken nor refused yet."""
        return len(self._waiting)

    @property
    def queues(self) -> list[str]:
        """Empty: its workers serve no queue."""
        return []

    def register(self, api: Api, worker: str) -> None:
        """Registers a worker without queues."""
        api.call("workers.register", worker=worker, queues=self.queues)

    def recover(self, api: Api) -> None:
        """Does nothing: the side that hands tasks over cleans up after dead workers."""

    def next_task(self, api: Api) -> Taken | None:
        """Takes the first task that is queued and that no other worker has taken."""
        while self._waiting:
            taken = self._take(api, self._waiting[0])  # it stays the first one if the server is in trouble
            self._waiting.popleft()
            if taken:
                return taken
        return None

    def give_back(self, api: Api, taken: Taken) -> None:
        """Puts a task last in its queue, if it is still queued."""
        put_back(api, taken.task_id, taken.queue)

    def _take(self, api: Api, task_id: str) -> Taken | None:
        fields = ["id", "status", "execution.queue"]
        found = api.call("tasks.get_all", id=[task_id], only_fields=fields, search_hidden=True)["tasks"]
        status, queue = (found[0]["status"], queue_of(found[0])) if found else ("deleted", "")
        if status != "queued":
            self._on_note(Note(f"task {task_id} is {status}: it is not run", level="warning", task=task_id))
            return None
        if not self._got_entry(api, task_id, queue):
            self._on_note(Note(f"task {task_id} was taken by another worker: it is not run here", task=task_id))
            return None
        return Taken(task_id, queue)

    def _got_entry(self, api: Api, task_id: str, queue: str) -> bool:
        """Takes a task's entry out of its queue; False if another worker has it."""
        try:
            api.call("queues.remove_task", queue=queue, task=task_id)
        except ApiError as error:
            if error.subcode not in (Subcode.NOT_IN_QUEUE, Subcode.NO_SUCH_QUEUE):
                self._unanswered.add(task_id)
                raise
            if task_id not in self._unanswered:
                return False
            # An earlier call may have been heard, so that no worker has the task. At least a second has passed since:
            # another worker would have started it.
            self._unanswered.discard(task_id)
            return put_back(api, task_id, queue) and self._got_entry(api, task_id, queue)
        return True
