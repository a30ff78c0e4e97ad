"""The slots of this machine as ClearML workers: one thread takes tasks, runs them and reports how they ended.

It makes the calls of an agent. So abort, dequeue, requeue and reorder in ClearML's web page work on its tasks too. The
scripts run as under an agent: the worker reports their status and console, not they themselves.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import CONTROLLER_ENDED, STOPPED_BY_USER, STOPPING
from clearml_hpo.backend.withdrawal import is_spoilt
from clearml_hpo.core.notes import Note
from clearml_hpo.workers.protocol import TaskReports, WorkerReports
from clearml_hpo.workers.recovery import worker_id
from clearml_hpo.workers.runner import TICK_S, Run, Runner
from clearml_hpo.workers.slots import GpuMemory, Slot
from clearml_hpo.workers.starting import TaskStarter
from clearml_hpo.workers.task_process import GRACE_S
from clearml_hpo.workers.task_source import Source
from clearml_hpo.workers.wakeup import Wakeup

_TAKE_S = 1.0
"""How often queues are asked for tasks that others have enqueued; our own submits are looked for at once."""
_LOOK_S = 1.0
"""How often the server is asked whether a task is to stop."""
_LONGEST_WAIT_S = 30.0
"""The longest time until a step that failed is tried again."""
_END_S = 60.0
"""How long the last reports are retried after ``close`` if the server does not answer."""
_END_AGAIN_S = 1.0
"""The time between two tries of the last reports."""
_FOREVER = float("inf")
_CLOSES_WITHIN = 7  # times the grace of a process


@dataclass
class _Due:
    """When the next look is due at the source and at the tasks, in seconds of the monotonic clock."""

    take: float = 0.0
    look: float = 0.0
    wait_s: float = TICK_S


class LocalWorkers:
    """Runs the tasks of a source in the slots of this machine until it is closed."""

    def __init__(
        self,
        slots: Sequence[Slot],
        source: Source,
        name: str,
        *,
        memory: GpuMemory | None = None,
        warm: bool = True,
        venv: bool = False,
        image: str = "",
        closed_reason: str = CONTROLLER_ENDED,
        on_note: Callable[[str], None],
    ) -> None:
        """Starts.

        Args:
            slots: what may run at once.
            source: where the tasks come from.
            name: the middle part of the workers' ids, after the host's name.
            memory: whether a GPU has memory for one more task; None does not ask.
            warm: True to run tasks as forks of processes that have imported what they import.
            venv: True to have an agent, which makes a virtual environment, run tasks that ask for packages that are
                not here.
            image: of the container around this process; tasks that ask for another one are refused.
            closed_reason: why tasks end that run when this is closed: they are stopped, or, if it begins with
                ``codes.LOST``, failed.
            on_note: prints a line for the user.
        """
        self._api = Api()  # of the thread alone
        self._source = source
        self._closed_reason = closed_reason
        self._on_note = on_note
        self._runner = Runner(slots, memory=memory, warm=warm, venv=venv, image=image, on_note=on_note)
        ids = {slot.name: worker_id(name, os.getpid(), slot) for slot in slots}
        self._tasks = TaskReports(self._api, ids, on_note)
        self._workers = WorkerReports(self._api, source, self._runner, ids)
        self._starter = TaskStarter(self._api, source, self._runner, self._tasks, self._workers, on_note)
        self._look_s = _LOOK_S
        self._idle_since: float | None = None
        self._due = _Due()
        self._wakeup = Wakeup()
        self._closing = threading.Event()
        self._draining = threading.Event()
        self._ending = threading.Lock()
        self._between_tasks = threading.RLock()
        self._thread = threading.Thread(target=self._serve, name=f"local executor {name}", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """How many tasks can run at once."""
        return len(self._runner.slots)

    @contextlib.contextmanager
    def between_tasks(self) -> Iterator[None]:
        """Within the block no task is on its way from the source to its process. Then all is looked at at once."""
        with self._between_tasks:
            yield
        self._due.look = 0.0
        self.take_now()

    def take_now(self) -> None:
        """Looks for new tasks at once."""
        self._due.take = 0.0
        self._wakeup.set()

    def look_every(self, seconds: float) -> None:
        """Asks the server only so often whether a task is to stop: one of many workers must not ask each second."""
        self._look_s = seconds

    def is_idle_for(self, seconds: float) -> bool:
        """True if for so long no task has run, and the source had none."""
        with self._between_tasks:
            if self._runner.runs or self._starter.is_under_way or self._idle_since is None:
                return False
            return time.monotonic() - self._idle_since >= seconds

    @property
    def is_without_queues(self) -> bool:
        """True if it serves no queue: all of them were deleted, or its source has none."""
        return not self._source.queues

    def drain(self) -> None:
        """Takes no more tasks; running ones go on."""
        self._draining.set()
        self._wakeup.set()

    @property
    def is_drained(self) -> bool:
        """True if no task will be taken, and none runs."""
        with self._between_tasks:
            return self._draining.is_set() and not self._runner.runs and not self._starter.is_under_way

    def close(self, reason: str = "") -> bool:
        """Ends all running tasks, within some seconds. True if the server knows, so that they are stopped.

        ``reason`` takes the place of ``closed_reason``.
        """
        self._closed_reason = reason or self._closed_reason
        self._closing.set()
        self._wakeup.set()
        with self._ending:  # another thread may close it, too
            self._thread.join(timeout=_CLOSES_WITHIN * GRACE_S)
            self._runner.close(self._closed_reason)  # something still runs if the server does not answer
        return not self._thread.is_alive()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        step = self._begin
        while not self._closing.is_set():
            if self._try(step):
                step = self._step
            self._wakeup.wait(self._due.wait_s, self._runner.filenos())
        until = time.monotonic() + _END_S
        while not self._try(self._end) and time.monotonic() < until:
            time.sleep(_END_AGAIN_S)
        self._wakeup.close()

    def _try(self, step: Callable[[], None]) -> bool:
        """True if a step succeeded. One that failed is retried, less and less often; running tasks go on."""
        try:
            step()
        except Exception as error:  # of any kind: running tasks still have to be watched
            self._due.wait_s = min(max(2 * self._due.wait_s, 1.0), _LONGEST_WAIT_S)
            text = f"local executor: {type(error).__name__}: {error}; retrying in {self._due.wait_s:.0f} s"
            self._on_note(Note(text, level="warning"))
            return False
        return True

    def _begin(self) -> None:
        self._workers.register()
        self._source.recover(self._api)

    def _step(self) -> None:
        now = time.monotonic()
        self._runner.step(now)
        self._check_tasks(now)
        if now >= self._due.take:
            self._due.take = now + _TAKE_S  # first: what is submitted meanwhile is looked for at once
            self._fill()
        if self._workers.step(now):
            self._tasks.ping(self._runner.runs.values())
        # The ends of running tasks are looked for often, an empty queue seldom.
        self._due.wait_s = TICK_S if self._runner.runs else _TAKE_S

    def _end(self) -> None:
        self._starter.give_back()
        self._runner.stop(self._closed_reason)
        self._check_tasks(_FOREVER)
        self._workers.unregister()

    # --- tasks that run ----------------------------------------------------------------------------------------------

    def _check_tasks(self, now: float) -> None:
        """Sends what tasks have printed, stops those that are to stop, reports those that have ended."""
        runs = list(self._runner.runs.values())
        ended = [run for run in runs if run.process.code is not None]
        is_due = now >= self._due.look
        looked_at = runs if is_due else ended
        if not looked_at:
            return
        if is_due:
            self._due.look = time.monotonic() + self._look_s
        fields = ["status", "status_message", "status_reason", "started"]
        tasks = self._tasks.read([run.task_id for run in looked_at], fields)
        self._tasks.send_output(looked_at)
        for run in looked_at:
            _apply_server_status(run, tasks.get(run.task_id))
        unheard = self._tasks.ended(ended)
        for run in ended:
            if run.task_id not in unheard:
                self._runner.release(run)
                self._workers.freed(run.slot)
                self._source.ended(run.task_id)
        if ended:
            self._due.take = 0.0
        for error in unheard.values():
            raise error

    # --- tasks that wait ---------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Takes tasks as long as there are tasks and slots."""
        while not self._leaves() and (slots := self._runner.free_slots()):
            with self._between_tasks:
                if self._leaves() or not self._starter.start(slots):
                    break
        if self._leaves():
            self._starter.give_back()
        if self._runner.runs:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()

    def _leaves(self) -> bool:
        return self._closing.is_set() or self._draining.is_set()


def _apply_server_status(run: Run, task: Mapping[str, Any] | None) -> None:
    """Ends a task that a user, or the controller, has stopped, or given another status; None was deleted."""
    if task is None or task["status"] != "in_progress":
        run.is_foreign = True
        run.is_draft = task is not None and is_spoilt(task)
    elif task.get("status_message") == STOPPING:
        run.reason = run.reason or task.get("status_reason") or STOPPED_BY_USER
    if run.is_foreign or run.reason:
        run.process.terminate()
