"""Runs trial tasks as processes of this machine, without agents."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.core.errors import ApiError, InputError
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.machine.gpus import free_memory
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import GpuMemory, Slot
from clearml_hpo.workers.source import QueueSource

LOCAL = "local"
"""The queue that :meth:`LocalExecutor.workers` lists."""
_TAG = "clearml-hpo-local"  # on queues that are of no use to anybody else

_log = logging.getLogger(__name__)


class LocalExecutor:
    """Processes on this machine that serve a ClearML queue by the agents' own calls.

    What waits is in that queue: it can be dequeued or reordered in the web page, and survives this process. What runs
    does not: it ends with this process, kill -9 included, and the next executor on the same queue marks it lost.
    """

    def __init__(
        self,
        api: Api,
        slots: Sequence[Slot],
        *,
        queue: str,
        min_free_mb: int | None = None,
        warm: bool = True,
        on_note: Callable[[str], None] = _log.warning,
    ) -> None:
        """Begins to serve.

        Args:
            api: of the caller; the executor's own thread logs in by itself.
            slots: see ``slots.plan_slots``.
            queue: name of the ClearML queue, which is made if there is none; of one study alone, so that resuming the
                study finds what waits.
            min_free_mb: MiB of GPU memory that a task needs; a second one shares a GPU only if there is so much.
                None does not ask.
            warm: whether tasks are forks of processes that have imported what they import; False starts a Python for
                each.
            on_note: hears what a person should know.

        Raises:
            InputError: no slots, two of one name, too short a queue's name, or memory that nvidia-smi does not tell.
        """
        _check(slots, min_free_mb)
        self._api = api
        self._slots = tuple(slots)
        self._is_closed = False
        self._name = queue
        self._queue_id = ensure_queue(api, queue, [_TAG])
        self._queue = QueueExecutor(api, {LOCAL: self._queue_id})
        self._workers = LocalWorkers(
            slots,
            QueueSource([self._queue_id], on_note),
            queue,
            memory=None if min_free_mb is None else GpuMemory(min_free_mb),
            warm=warm,
            on_note=on_note,
        )

    def submit(self, task_id: str, queue: str = LOCAL) -> None:
        """Puts the task last in line, in one call."""
        self._queue.submit(task_id, queue)
        self._workers.look_now()

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of the line, see ``QueueExecutor``."""
        with self._workers.between_tasks():
            return self._queue.withdraw(task_ids)

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Ends tasks, in one call: SIGTERM, and SIGKILL a second or two later."""
        with self._workers.between_tasks():
            self._queue.abort(task_ids, reason)

    def workers(self) -> dict[str, int]:
        """The number of slots; no call."""
        return {LOCAL: len(self._slots)}

    def how_to_serve(self, queue: str) -> str:
        """This process serves it; others may as well."""
        return self._queue.how_to_serve(self._name)

    def waiting(self) -> set[str]:
        """Ids of the tasks in line, in one call."""
        return self._queue.waiting()

    def deleted(self) -> set[str]:
        """Its queue, if that is no longer there, in one call."""
        return self._queue.deleted()

    def elsewhere(self, task_ids: Sequence[str]) -> set[str]:
        """Those of these tasks that somebody has put in another queue, in one call."""
        return self._queue.elsewhere(task_ids)

    def close(self) -> None:
        """Ends what runs, which becomes stopped; what waits stays. A queue made for this is removed if it is empty."""
        if self._is_closed or not self._workers.close():
            return
        self._is_closed = True
        with contextlib.suppress(ApiError):  # it is gone already, or something waits
            found = self._api.call("queues.get_by_id", queue=self._queue_id)["queue"]
            if _TAG in (found.get("tags") or ()) and not found.get("entries"):
                self._api.call("queues.delete", queue=self._queue_id)


def _check(slots: Sequence[Slot], min_free_mb: int | None) -> None:
    names = [slot.name for slot in slots]
    if not names or len(set(names)) < len(names):
        raise InputError(f"slots: one or more with a name of its own each; found {names}")
    if min_free_mb is None:
        return
    if min_free_mb < 1:
        raise InputError(f"min_free_mb: {min_free_mb} is too little, 1 is the least")
    known = free_memory()
    if unknown := sorted({slot.gpu for slot in slots if slot.gpu} - set(known)):
        raise InputError(f"min_free_mb: nvidia-smi tells no free memory of GPU {unknown[0]!r}; leave it out")
