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
from clearml_hpo.workers.task_source import QueueSource

LOCAL = "local"
"""The queue that :meth:`LocalExecutor.workers` lists."""
_TAG = "clearml-hpo-local"  # on queues that were made for one executor

_log = logging.getLogger(__name__)


class LocalExecutor:
    """Processes on this machine that serve a ClearML queue by the agents' own calls.

    Waiting tasks are in that queue: a user can dequeue or reorder them in the web page, and they survive this process.
    Running tasks end with this process, also after kill -9. The next executor on the same queue marks those as lost.
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
        """Starts the workers.

        Args:
            api: of the caller; the executor's own thread logs in by itself.
            slots: see ``slots.plan_slots``.
            queue: name of the ClearML queue, created if missing. Each study needs its own, so that a resumed study
                finds its waiting trials.
            min_free_mb: MiB of GPU memory that a task needs; a second task shares a GPU only if so much is free. None
                does not check.
            warm: True to run tasks as forks of processes that have imported what they import; False starts a new
                Python for each.
            on_note: prints a line for the user.

        Raises:
            InputError: no slots, two with one name, a queue name that is too short, or ``min_free_mb`` on a GPU whose
                memory nvidia-smi does not report.
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
        """Puts the task last in the queue, in one call."""
        self._queue.submit(task_id, queue)
        self._workers.take_now()

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of the queue, see ``QueueExecutor``."""
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
        """The command that starts another worker on the queue, in addition to this process."""
        return self._queue.how_to_serve(self._name)

    def waiting(self) -> set[str]:
        """Ids of the tasks in the queue, in one call."""
        return self._queue.waiting()

    def deleted(self) -> set[str]:
        """Its queue, if that was deleted, in one call."""
        return self._queue.deleted()

    def elsewhere(self, task_ids: Sequence[str]) -> set[str]:
        """The given tasks that a user has moved to another queue, in one call."""
        return self._queue.elsewhere(task_ids)

    def close(self) -> None:
        """Stops running tasks; waiting ones stay. Deletes the queue if it was made here and is empty."""
        if self._is_closed or not self._workers.close():
            return
        self._is_closed = True
        with contextlib.suppress(ApiError):  # it is gone already, or a task waits
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
