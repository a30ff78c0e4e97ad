"""Where the tasks of workers come from: ClearML queues, looked into all the time or when someone asks."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import QUEUE_CLOSED, Subcode
from clearml_hpo.backend.withdrawal import put_back
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.notes import Note
from clearml_hpo.workers.recovery import recover

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

    def next_tasks(self, api: Api, most: int) -> list[Taken]:
        """Takes so many tasks at the most; none if there is none now."""

    def give_back(self, api: Api, taken: Taken) -> None:
        """Lets other workers have a task that was taken and not started.

        Raises:
            ApiError: the server refuses, or does not answer.
        """

    def ended(self, task_id: str) -> None:
        """Hears that a task that was taken has ended, or could not be run, and that the server knows."""


class QueueSource:
    """ClearML queues; the first that has a task comes first."""

    def __init__(self, queues: Sequence[str], on_note: Callable[[str], None]) -> None:
        """``queues`` are ids; ``on_note`` prints a line for the user if one was deleted."""
        self._queues = [*queues]
        self._on_note = on_note
        self._workers: list[str] = []
        self._gone: set[str] = set()
        self._closed: set[str] = set()
        self._tags_due = 0.0

    @property
    def queues(self) -> list[str]:
        """Ids of the queues that are not known to be deleted."""
        return [queue for queue in self._queues if queue not in self._gone]

    def register(self, api: Api, worker: str) -> None:
        """Registers a worker for the queues that are there: the server refuses the whole call if one is not."""
        self._workers.append(worker)
        try:
            api.call("workers.register", worker=worker, queues=self.queues)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_QUEUE or not self._drop_deleted(api):
                raise
            api.call("workers.register", worker=worker, queues=self.queues)

    def recover(self, api: Api) -> None:
        """Fails or puts back what dead workers of this machine have left of these queues."""
        recover(api, self.queues, self._workers)

    def next_tasks(self, api: Api, most: int) -> list[Taken]:
        """Takes the first tasks of the first open queues that have some."""
        found: list[Taken] = []
        for queue in self._open(api):
            count = 1  # then as many as there were before: a queue that is empty is not asked in vain for long
            while len(found) < most:
                taken, error = self._take(api, queue, min(count, most - len(found)))
                found += taken
                if error is not None:
                    return _unless_none(found, error)
                if len(taken) < count:
                    break
                count *= 2
        return found

    def give_back(self, api: Api, taken: Taken) -> None:
        """Puts a task last in its queue, if it is still queued."""
        put_back(api, taken.task_id, taken.queue)

    def ended(self, task_id: str) -> None:
        """Does nothing: nobody waits for the task here."""

    def _take(self, api: Api, queue: str, count: int) -> tuple[list[Taken], ApiError | None]:
        """Up to so many tasks of one queue, and what else went wrong than that it is gone."""
        answers = api.call_each([("queues.get_next_task", {"queue": queue})] * count)
        errors = [answer for answer in answers if isinstance(answer, ApiError)]
        if any(error.subcode == Subcode.NO_SUCH_QUEUE for error in errors):
            self._drop(queue)
        entries = [answer["entry"] for answer in answers if not isinstance(answer, ApiError) and answer.get("entry")]
        other = (error for error in errors if error.subcode != Subcode.NO_SUCH_QUEUE)
        return [Taken(entry["task"], queue) for entry in entries], next(other, None)

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


class RequestedSource(QueueSource):
    """ClearML queues out of which a task is taken only when someone asks for one, such as a cluster's scheduler."""

    def __init__(self, on_note: Callable[[str], None]) -> None:
        """Serves no queue until one is asked for."""
        super().__init__((), on_note)
        self._requests: deque[tuple[str, Future[str]]] = deque()
        self._running: defaultdict[str, list[Future[str]]] = defaultdict(list)  # by task
        self._looked_into: set[str] = set()

    def request(self, queue: str) -> Future[str]:
        """Asks for one task of a queue, from any thread; ``LocalWorkers.take_now`` has it looked for without delay.

        Returns:
            The id of the task that was run, once it has ended; empty, soon, if there was none to be had.
        """
        request: Future[str] = Future()
        if queue not in self._queues:
            self._queues.append(queue)
        self._requests.append((queue, request))
        return request

    def refuse_all(self) -> None:
        """Answers all requests with none, to be called within ``LocalWorkers.between_tasks``."""
        while self._requests:
            self._requests.popleft()[1].set_result("")

    def next_tasks(self, api: Api, most: int) -> list[Taken]:
        """Takes tasks for the first requests; those whose queue has no more are answered with none."""
        found: list[Taken] = []
        while self._requests and len(found) < most:
            queue = self._requests[0][0]  # it stays the first one if the server is in trouble
            if queue not in self._looked_into:
                recover(api, [queue], self._workers)
                self._looked_into.add(queue)
                self._tags_due = 0.0
            queues = [request[0] for request in [*self._requests][: most - len(found)]]
            asked = len([*takewhile(queue.__eq__, queues)])
            taken, error = self._take(api, queue, asked) if queue in self._open(api) else ([], None)
            for each in taken:
                self._running[each.task_id].append(self._requests.popleft()[1])
            found += taken
            if error is not None:
                return _unless_none(found, error)
            for _ in range(asked - len(taken)):
                self._requests.popleft()[1].set_result("")
        return found

    def give_back(self, api: Api, taken: Taken) -> None:
        """Puts a task last in its queue, if it is still queued."""
        super().give_back(api, taken)
        self._running[taken.task_id].pop(0).set_result("")

    def ended(self, task_id: str) -> None:
        """Answers the request for which a task was taken: the first, if it was put into the queue again as it ran."""
        requests = self._running[task_id]
        requests.pop(0).set_result(task_id)
        if not requests:
            del self._running[task_id]


def _unless_none(found: list[Taken], error: ApiError) -> list[Taken]:
    """What was taken must not be lost: the error will come again."""
    if not found:
        raise error
    return found
