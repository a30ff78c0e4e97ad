"""What a Dask worker does with a ticket: it runs one trial of a queue in a slot of its own.

A ticket is a Dask task that allows for one trial: the first of its queue. ClearML decides which one that is and who has
it, so that a ticket may be run again, at any time and anywhere, and each trial still runs once, in its queue's order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Sequence
from importlib.metadata import version
from typing import ClassVar

from distributed import Worker, get_worker
from distributed.core import Status

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import LOST
from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.machine.gpus import NO_GPU, detect_gpus
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import Slot
from clearml_hpo.workers.task_source import RequestedSource

RESOURCE = f"clearml-hpo-{version('clearml-hpo')}"
"""The resource that each ticket takes one of: only workers with this version, and prepared, have it."""
_TICK_S = 0.2
"""How often a worker that leaves looks whether its trials have ended."""
_LOG = logging.getLogger(__name__)


class TrialPlace:
    """Where one Dask worker runs trials: as many at once as it has threads.

    Attributes:
        has_study: whether there was a study that can run here.
        is_leaving: whether it takes no more trials.
    """

    _by_worker: ClassVar[weakref.WeakKeyDictionary[Worker, TrialPlace]] = weakref.WeakKeyDictionary()
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, worker: Worker) -> None:
        """Offers the worker's threads to tickets; the scheduler hears of it when the worker next tells it."""
        self.has_study = self.is_leaving = False
        self._worker = worker
        self._source = RequestedSource(_LOG.warning)
        self._slots = _slots(str(worker.name), worker.state.nthreads)
        self._started: LocalWorkers | None = None
        self._starting = threading.Lock()
        self._made_at = time.monotonic()
        for amounts in (worker.state.total_resources, worker.state.available_resources):
            amounts.setdefault(RESOURCE, worker.state.nthreads)

    @property
    def _workers(self) -> LocalWorkers:
        """Started at the first call.

        Raises:
            ClearmlHpoError: no ClearML server is configured, or it does not answer.
        """
        with self._starting:
            if self._started is None:
                reason = f"{LOST} its Dask worker was ended"
                self._started = LocalWorkers(
                    self._slots, self._source, "dask", closed_reason=reason, on_note=_LOG.warning
                )
            return self._started

    @classmethod
    def of(cls, worker: Worker) -> TrialPlace:
        """The place of a worker, made if there is none."""
        with cls._making:
            if worker not in cls._by_worker:
                cls._by_worker[worker] = cls(worker)
            return cls._by_worker[worker]

    def run_one(self, queue: str, look_s: float) -> str:
        """Runs the first task of a queue to its end, in a thread of the worker; its id, empty if there was none."""
        if self.is_leaving:
            return ""
        request = self._source.request(queue)  # first: workers tell the server at their start which queues they serve
        try:
            workers = self._workers
        except ClearmlHpoError:  # no workers could be started: nobody else answers
            self._source.refuse_all()
            raise
        workers.look_every(look_s)
        workers.take_now()
        return request.result()

    def problem(self, study_id: str) -> str:
        """Why trials of a study cannot run here; empty if they can."""
        try:
            found = Api().call("tasks.get_all", id=[study_id], only_fields=["id"], search_hidden=True)["tasks"]
        except ClearmlHpoError as error:
            return str(error)
        return "" if found else "its ClearML server does not have this study"

    async def offer(self, count: int) -> None:
        """Has the scheduler send so many tickets at once."""
        await self._worker.set_resources(**{RESOURCE: count})

    async def leave(self) -> None:
        """Takes no more trials; returns when those that run have ended."""
        self.is_leaving = True
        if self._worker.status == Status.running:
            await self.offer(0)
        if (workers := self._started) is None:
            return
        workers.drain()
        await asyncio.to_thread(self._refuse_all, workers)
        while not workers.is_drained:
            await asyncio.sleep(_TICK_S)
        await asyncio.to_thread(workers.close)

    def close(self, reason: str = "") -> None:
        """Ends the trials that run, for ``reason``; without one they are lost, and run again elsewhere."""
        if self._started is not None:
            self._started.close(reason)

    def is_idle_for(self, seconds: float) -> bool:
        """Whether no trial has run for so long."""
        if self._started is None:
            return time.monotonic() - self._made_at >= seconds
        return self._started.is_idle_for(seconds)

    def _refuse_all(self, workers: LocalWorkers) -> None:
        with workers.between_tasks():
            self._source.refuse_all()


def run_trial(queue: str, wanted: str, gpus: float, look_s: float) -> str:
    """A ticket: runs the first trial of a queue on the Dask worker around this call.

    Args:
        queue: id of the ClearML queue.
        wanted: :data:`RESOURCE`, as the controller has it.
        gpus: how many GPUs the trial is to see.
        look_s: how often the worker is to ask the server whether a trial is to stop.

    Returns:
        The id of the trial's task, empty if there was none; for Dask's page, the controller does not read it.

    Raises:
        RuntimeError: this is another version, or the worker's threads share its GPUs out.
    """
    worker = get_worker()
    if wanted != RESOURCE:
        raise RuntimeError(f"the controller has {wanted}, Dask worker {worker.name} has {RESOURCE}")
    if gpus > 1 and worker.state.nthreads > 1:
        raise RuntimeError(f"{gpus:g} GPUs for a trial: start Dask worker {worker.name} with one thread, not several")
    return TrialPlace.of(worker).run_one(queue, look_s)


async def accept(study_id: str, wanted: str, *, dask_worker: Worker) -> str:
    """Prepares a Dask worker for a study's tickets; returns why it cannot run them, empty if it can."""
    if wanted != RESOURCE:
        return f"it has {RESOURCE}, the controller has {wanted}"
    place = await asyncio.to_thread(TrialPlace.of, dask_worker)
    problem = await asyncio.to_thread(place.problem, study_id)
    place.has_study = place.has_study or not problem
    offers = place.has_study and not place.is_leaving  # another study may run here all the same
    await place.offer(dask_worker.state.nthreads if offers else 0)
    return "it is leaving" if place.is_leaving else problem


def end_trials(reason: str, *, dask_worker: Worker) -> None:
    """Ends the trials of a Dask worker."""
    TrialPlace.of(dask_worker).close(reason)


def _slots(name: str, count: int) -> Sequence[Slot]:
    """A slot for each thread of a worker. One alone has all GPUs that the worker sees; several share them out.

    Libraries may start as many threads as the worker's environment says (Dask itself says 1).
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = detect_gpus() or (() if named in NO_GPU else tuple(named.split(",")))  # nvidia-smi may be missing
    short = re.sub(r"[^\w.-]+", "-", name)
    if count == 1:
        return (Slot(short, ",".join(gpus) or None),)
    return tuple(Slot(f"{short}-{i}", gpus[i % len(gpus)] if gpus else None) for i in range(count))
