"""What a fleet needs of the server's queues: that they exist, pause, and go."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from clearml_hpo.backend.codes import QUEUE_CLOSED, Subcode
from clearml_hpo.backend.http import Client
from clearml_hpo.core.errors import ApiError, ClearmlHpoError

_log = logging.getLogger(__name__)


def queue_id(client: Client, name: str) -> str:
    """The id of a queue, which is made if there is none."""
    if found := _queues_named(client, name):
        return found
    try:
        return str(client.call("queues.create", name=name)["id"])
    except ApiError as error:
        if error.subcode != Subcode.NAME_TAKEN:
            raise
    return _queues_named(client, name)  # another was quicker


def remove_queue(client: Client, name: str) -> None:
    """Removes a queue, if there is one of that name; tasks that wait in it become drafts."""
    if found := _queues_named(client, name):
        client.call("queues.delete", queue=found, force=True)


def _queues_named(client: Client, name: str) -> str:
    queues = client.call("queues.get_all", name=f"^{re.escape(name)}$", only_fields=["id"])["queues"]
    return str(queues[0]["id"]) if queues else ""


class Gates:
    """Closes queues for the moment that an agent takes to leave between two tasks.

    An agent that has ended a task asks for the next one within milliseconds, and the unmodified agent cannot be
    told not to. But it reads its queue's tags first. So at the end of its task the queue is closed, for all
    agents, until this one has seen that there is nothing to take: half a second or so.

    ``record`` is called before the server hears of a closed queue, so that it is opened again also after this
    process was killed.
    """

    def __init__(self, client: Client, record: Callable[[], None]) -> None:
        self._client = client
        self._record = record
        self._holders: dict[str, int] = {}

    @property
    def closed(self) -> tuple[str, ...]:
        """Ids of the queues that are closed now."""
        return tuple(self._holders)

    @contextlib.contextmanager
    def hold(self, queue: str) -> Iterator[None]:
        """Keeps a queue closed for as long as at least one holder is inside."""
        self._holders[queue] = self._holders.get(queue, 0) + 1
        if self._holders[queue] == 1:
            self._record()
            attempt(lambda: set_closed(self._client, queue, True), f"queue {queue} could not be closed")
        try:
            yield
        finally:
            self._holders[queue] -= 1
            if not self._holders[queue]:
                attempt(lambda: set_closed(self._client, queue, False), f"queue {queue} could not be opened")
                del self._holders[queue]
                self._record()


def set_closed(client: Client, queue: str, closed: bool) -> None:
    """Closes a queue for all agents, or opens it."""
    tags = list(client.call("queues.get_by_id", queue=queue)["queue"].get("tags") or [])
    wanted = [*(tag for tag in tags if tag != QUEUE_CLOSED), *([QUEUE_CLOSED] if closed else [])]
    if wanted != tags:
        client.call("queues.update", queue=queue, tags=wanted)


def attempt(call: Callable[[], Any], otherwise: str) -> None:
    """Makes a call that is not worth failing for: says ``otherwise`` if the server refuses or is not there."""
    try:
        call()
    except ClearmlHpoError as error:
        _log.warning("%s: %s", otherwise, error)
