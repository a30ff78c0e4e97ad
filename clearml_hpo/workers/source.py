"""Where the tasks of workers come from: ClearML queues."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
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
    """Gives tasks to workers, whose thread calls all of it, with its own connection."""

    @property
    def queues(self) -> list[str]:
        """Ids of the queues that the workers serve, as they tell the server."""

    def register(self, api: Api, worker: str) -> None:
        """Registers a worker by its id."""

    def recover(self, api: Api) -> None:
        """Sees to what earlier workers of this machine have left; called once, before the first task is taken."""

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
        """``queues`` has ids; ``on_note`` hears which of them are gone."""
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
        """The queues that are there and not closed; their tags are read now and then."""
        if self.queues and (now := time.monotonic()) >= self._tags_due:
            found = api.call("queues.get_all", id=self.queues, only_fields=["id", "tags"])["queues"]
            self._closed = {queue["id"] for queue in found if QUEUE_CLOSED in (queue.get("tags") or ())}
            self._tags_due = now + _TAGS_S
        return [queue for queue in self.queues if queue not in self._closed]

    def _drop_deleted(self, api: Api) -> bool:
        """Looks which queues are gone; True if that was not known of one of them."""
        found = api.call("queues.get_all", id=self.queues, only_fields=["id"])["queues"]
        gone = set(self.queues) - {queue["id"] for queue in found}
        for queue in gone:
            self._drop(queue)
        return bool(gone)

    def _drop(self, queue: str) -> None:
        self._gone.add(queue)
        self._on_note(Note(f"queue {queue} was deleted; it is no longer served here", level="warning", queue=queue))
