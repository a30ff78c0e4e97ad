"""The thread of a study's executor that speaks with a Dask scheduler.

It sends as many tickets as trials wait, and has an eye on the workers. No answer of a
ticket counts: what became of a trial is its task's status. Whatever goes wrong between here and a worker is mended in
one way: a trial that waits while its ticket is gone is sent another one.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any, Protocol

from distributed import Client, Future, fire_and_forget

from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.core.notes import Note
from clearml_hpo.executors.dask import trials
from clearml_hpo.executors.dask.members import Members, short_text
from clearml_hpo.executors.dask.plan import GPU
from clearml_hpo.executors.dask.trials import RESOURCE

KEY = "clearml-trial-"
"""What the keys of tickets begin with; the id of the trial's task follows."""
_AGAIN_S = 5.0
"""The time between two tries to reach a scheduler that does not answer."""
_CONNECT_S = 10.0
"""How long a scheduler may take to answer the first call."""
_LOOK_S = 2.0
"""How often the scheduler is asked for its workers; of many workers less often."""
_WORKER_LOOK_S = 1.0
"""How often a worker asks the server whether its trials are to stop; one of many workers less often."""
_WORKERS_A_SECOND = 50
"""How many workers are asked about, or ask, at the most."""
_RECONCILE_S = 10.0
"""How often the trials that wait are compared with the tickets that are sent."""
_OF_DASK = ("distributed.client", "distributed.core", "distributed.comm", "distributed.batched", "tornado.application")


class OnClearml(Protocol):
    """What the thread asks of the ClearML server. Both raise ClearmlHpoError if that is in trouble."""

    def waiting(self) -> Mapping[str, str]:
        """The tasks that wait now, each with its place."""

    def keep_dashboard(self, link: str) -> None:
        """Keeps the address of the cluster's dashboard with the study."""


class Tickets:
    """Sends tickets until it is closed, also over restarts of the scheduler.

    Attributes:
        members: the workers of the cluster.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        server: OnClearml,
        places: Mapping[str, Mapping[str, float]],
        queue_ids: Mapping[str, str],
        *,
        study_id: str,
        name: str,
        on_note: Callable[[str], None],
    ) -> None:
        """Starts the thread, which connects.

        Args:
            connect: makes a client of the scheduler; raises OSError or TimeoutError if it does not answer.
            server: is asked by the thread.
            places: the resources that a trial needs, by place.
            queue_ids: of the places.
            name: of the cluster, in notes.
        """
        self.members = Members(study_id, on_note)
        self._connect = connect
        self._server = server
        self._places = places
        self._queue_ids = queue_ids
        self._name = name
        self._on_note = on_note
        self._say_once = cache(self._say)
        self._events: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._sent: dict[str, Future[str]] = {}
        self._times: Counter[str] = Counter()  # how often the ticket of a trial was run
        self._has_looked = threading.Event()  # or could not
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="dask tickets", daemon=True)
        self._thread.start()

    def send(self, task_id: str, place: str) -> None:
        """Sends a ticket for a trial that waits, without delay."""
        self._events.put(partial(self._send, task_id, place))

    def wait_for_workers(self) -> None:
        """Returns once the workers were seen and prepared, or the scheduler has not answered; within ten seconds."""
        self._has_looked.wait(_CONNECT_S)

    def close(self) -> None:
        """Leaves the scheduler; tickets that were sent stay there."""
        self._closing.set()
        self._events.put(None)
        self._thread.join(_CONNECT_S)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        is_there = True
        while not self._closing.is_set():
            try:
                with _quiet(), self._connect() as self._client:
                    if not is_there:
                        self._say(f"the Dask scheduler of {self._name} answers again", "info")
                    is_there = True
                    self._drive()
            except Exception as error:  # of any kind: nobody else would notice
                if is_there and not self._closing.is_set():
                    self._say(
                        f"the Dask scheduler of {self._name} does not answer ({short_text(error)}): trials that run "
                        f"go on, the others wait; it is tried every {_AGAIN_S:.0f} s"
                    )
                is_there = False
            self.members.clear()
            self._has_looked.set()
            self._closing.wait(_AGAIN_S)

    def _drive(self) -> None:
        """Sends what there is to send, until the connection breaks or this is closed."""
        self._sent = {}
        with suppress(ClearmlHpoError):
            self._server.keep_dashboard(self._client.dashboard_link or "")
        look_at = reconcile_at = 0.0
        while not self._closing.is_set():
            if self._client.status != "running":
                raise ConnectionError("the connection broke")
            if time.monotonic() >= look_at:
                self.members.look(self._client)
                self._has_looked.set()
                look_at = time.monotonic() + max(_LOOK_S, len(self.members.seen) / _WORKERS_A_SECOND)
            if time.monotonic() >= reconcile_at:
                self._reconcile()
                reconcile_at = time.monotonic() + _RECONCILE_S
            try:
                event = self._events.get(timeout=max(0.0, min(look_at, reconcile_at) - time.monotonic()))
            except queue.Empty:
                continue
            if event is not None:
                event()

    def _reconcile(self) -> None:
        """Sends tickets for all trials that wait without one."""
        try:
            waiting = self._server.waiting()
        except ClearmlHpoError:  # the server is in trouble; the controller says so
            return
        for task_id, place in waiting.items():
            self._send(task_id, place)

    def _send(self, task_id: str, place: str) -> None:
        if task_id in self._sent:
            return
        future = self._client.submit(
            trials.run_trial,
            self._queue_ids[place],
            RESOURCE,
            self._places[place].get(GPU, 0),
            max(_WORKER_LOOK_S, len(self.members.seen) / _WORKERS_A_SECOND),
            key=f"{KEY}{task_id}-{self._times[task_id]}",  # Dask may still know the one that was run
            resources={RESOURCE: 1.0, **self._places[place]},
            pure=False,
            retries=0,
        )
        fire_and_forget(future)
        self._sent[task_id] = future
        future.add_done_callback(lambda done: self._events.put(partial(self._is_over, task_id, done)))

    def _is_over(self, task_id: str, ticket: Future[str]) -> None:
        """A ticket has been run, or could not be."""
        if self._sent.get(task_id) is not ticket:
            return
        del self._sent[task_id]
        self._times[task_id] += 1
        if ticket.status == "error":
            # Once for all trials: it is likely to be the same with each, and all are sent another one.
            why = short_text(ticket.exception(timeout=_CONNECT_S))
            self._say_once(f"Dask cannot run trials: {why}; trying again")

    def _say(self, text: str, level: Any = "warning") -> None:
        self._on_note(Note(text, level=level))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Dask's own lines on lost connections off the terminal: here one line says it."""
    loggers = [logging.getLogger(name) for name in _OF_DASK]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
