"""The slots of this machine as workers of ClearML queues: one thread takes tasks, runs them and says how they ended.

It makes an agent's calls, so that everything in ClearML's web page works on its tasks as on an agent's: abort, dequeue,
requeue, reorder. The scripts run as under an agent, too: they set neither their status nor their console themselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import CONTROLLER_ENDED, LOST, PULLED_BY, STOPPED_BY_USER, STOPPING, Subcode
from clearml_hpo.backend.withdrawal import is_spoilt, put_back
from clearml_hpo.core.errors import ApiError, InputError
from clearml_hpo.machine.environ import without_foreign
from clearml_hpo.machine.settings import child_environ
from clearml_hpo.machine.watchdog import Watchdog
from clearml_hpo.workers import programs
from clearml_hpo.workers.bell import Bell
from clearml_hpo.workers.forks import WarmParents
from clearml_hpo.workers.intake import Intake, puller, worker_id
from clearml_hpo.workers.programs import Program
from clearml_hpo.workers.requirements import unmet
from clearml_hpo.workers.slots import GpuMemory, Slot
from clearml_hpo.workers.startup import with_startup
from clearml_hpo.workers.statistics import MachineStatistics
from clearml_hpo.workers.task_process import GRACE_S, AgentProcess, Process, TaskProcess

_TICK_S = 0.05
_POP_S = 1.0  # for what others put into the queue; our own submits are looked for at once
_LOOK_S = 1.0
_REPORT_S = 30.0
_CHANGE_S = 2.0
_EVENT_CHARS = 64 * 1024  # as agents send them
_LONGEST_WAIT_S = 30.0
_TELL_S = 60.0  # in which a server that does not answer is told of the end again and again
_TELL_AGAIN_S = 1.0
_FOREVER = float("inf")
_UNKNOWN = (Subcode.INVALID_ID, Subcode.NO_SUCH_TASK, Subcode.EVENTS_NOT_ADDED)
_DEQUEUED = "it was taken out of its queue while it ran"
_MOST_SAID = 3
_MOST_REFUSALS = 3  # of console output, in a row
_CLOSES_WITHIN = 7  # times the grace of a process
_CAN_FORK = sys.platform == "linux"  # elsewhere whether a process may be forked cannot be seen
_OF_THE_SCRIPT = ("CLEARML_TASK_ID", "CLEARML_LOG_TASK_TO_BACKEND")  # an agent sets them for the script itself


@dataclass
class _Run:
    """A task in a slot.

    Attributes:
        reason: why it is stopped, if it is.
        is_foreign: somebody else has given the task another status, which is left as it is.
        is_draft: that status is that of a draft, although it ran: somebody has dequeued it.
    """

    task_id: str
    queue: str
    slot: Slot
    process: Process
    reason: str = ""
    is_foreign: bool = False
    is_draft: bool = False


@dataclass
class _Rounds:
    """When each round is due next, in seconds of the monotonic clock."""

    pop: float = 0.0
    look: float = 0.0
    report: float = 0.0
    change: float = 0.0
    wait_s: float = _TICK_S


class LocalWorkers:
    """Serves queues with the slots of this machine until it is closed."""

    def __init__(
        self,
        slots: Sequence[Slot],
        queues: Sequence[str],
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
            queues: ids of those that the tasks come from; one is looked into if those before it are empty.
            name: the middle part of the workers' ids, after the host's name.
            memory: whether a GPU has memory for one more task; None does not ask.
            warm: whether tasks are forks of processes that have imported what they import.
            venv: whether an agent, which makes a virtual environment, runs tasks that ask for packages that are not
                here.
            image: of the container around this process; tasks that ask for another one are refused.
            closed_reason: why tasks end that run when this is closed: they are stopped, or, if it begins with
                :data:`LOST`, failed.
            on_note: hears what a person should know.
        """
        self._slots = tuple(slots)
        self._venv = venv
        self._image = image
        self._closed_reason = closed_reason
        self._machine = MachineStatistics(tuple(slot.gpu for slot in slots if slot.gpu))
        self._worker_ids = {slot.name: worker_id(name, os.getpid(), slot) for slot in slots}
        self._memory = memory
        self._on_note = on_note
        self._api = Api()  # of the thread alone
        self._intake = Intake(self._api, queues, on_note)
        self._folder = Path(tempfile.mkdtemp(prefix="clearml-hpo-local-"))  # code and logs
        self._watchdog = Watchdog(self._folder)  # which removes the folder, too
        gpus = len({slot.gpu for slot in slots if slot.gpu})
        can_fork = warm and _CAN_FORK
        self._parents = WarmParents(self._folder, self._watchdog, on_note, gpus) if can_fork else None
        self._environ = with_startup({**without_foreign(child_environ()), **_quick_reports(self._folder)})
        self._runs: dict[str, _Run] = {}
        self._taken: tuple[str, str] | None = None  # task and queue: out of it, and its process not yet started
        self._idle_since: float | None = None
        self._said: set[str] = set()
        self._refusals = 0
        self._changed: set[Slot] = set()  # that they are free was not reported yet
        self._due = _Rounds()
        self._bell = Bell()
        self._closing = threading.Event()
        self._draining = threading.Event()
        self._between_tasks = threading.RLock()
        self._thread = threading.Thread(target=self._serve, name=f"local executor {name}", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """How many tasks can run at once."""
        return len(self._slots)

    @contextlib.contextmanager
    def between_tasks(self) -> Iterator[None]:
        """No task is on its way from the queue to its process within the block; after it, all is looked at anew."""
        with self._between_tasks:
            yield
        self.look_now()

    def look_now(self) -> None:
        """Looks at the queue and at the tasks at once."""
        self._due.pop = self._due.look = 0.0
        self._bell.ring()

    def is_idle_for(self, seconds: float) -> bool:
        """Whether for so long nothing has run, and nothing was found in the queues."""
        since = self._idle_since
        return since is not None and time.monotonic() - since >= seconds

    @property
    def is_without_queues(self) -> bool:
        """Whether all its queues were deleted."""
        return not self._intake.there

    def drain(self) -> None:
        """Takes no more tasks; those that run go on."""
        self._draining.set()
        self._bell.ring()

    @property
    def is_drained(self) -> bool:
        """Whether no task will be taken, and none runs."""
        with self._between_tasks:
            return self._draining.is_set() and not self._runs and self._taken is None

    def close(self) -> bool:
        """Ends all tasks that run, within some seconds; whether the server was told, and they are stopped."""
        self._closing.set()
        self._bell.ring()
        self._thread.join(timeout=_CLOSES_WITHIN * GRACE_S)
        for run in list(self._runs.values()):  # the server does not answer
            run.reason = run.reason or self._closed_reason
            run.process.kill()
        if self._parents:
            self._parents.close()
        self._watchdog.close()
        return not self._thread.is_alive()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        step = self._begin
        while not self._closing.is_set():
            if self._try(step):
                step = self._step
            self._bell.wait(self._due.wait_s, self._parents.filenos() if self._parents else ())
        until = time.monotonic() + _TELL_S
        while not self._try(self._end) and time.monotonic() < until:
            time.sleep(_TELL_AGAIN_S)
        self._bell.close()

    def _try(self, step: Callable[[], None]) -> bool:
        """Whether a step succeeded; one that fails is taken again, less and less often, and what runs goes on."""
        try:
            step()
        except Exception as error:  # whatever it is, the tasks that run are to be looked after
            self._due.wait_s = min(max(2 * self._due.wait_s, 1.0), _LONGEST_WAIT_S)
            self._on_note(f"local executor: {type(error).__name__}: {error}; again in {self._due.wait_s:.0f} s")
            return False
        return True

    def _begin(self) -> None:
        for worker in self._worker_ids.values():
            self._intake.register(worker)
        self._intake.recover()

    def _step(self) -> None:
        now = time.monotonic()
        for run in self._runs.values():
            run.process.step(now)
        if self._parents:
            self._parents.step(now)
        self._see(now)
        if now >= self._due.pop:
            self._due.pop = now + _POP_S  # first: what is submitted meanwhile is looked for at once
            self._fill()
        if now >= self._due.report:
            statistics = self._machine.measure()
            self._due.report = now + _REPORT_S
            for slot in self._slots:
                self._report(slot, machine_stats=statistics)
            for run in self._runs.values():  # a script may be silent for hours, and is not lost
                with _unless_gone():
                    self._api.call("tasks.ping", task=run.task_id)
        elif self._changed and now >= self._due.change:
            for slot in tuple(self._changed):
                self._report(slot)
        # While tasks run their ends are looked for; a queue that is empty is asked less often.
        self._due.wait_s = _TICK_S if self._runs else _POP_S

    def _end(self) -> None:
        self._give_back()
        for run in self._runs.values():
            run.process.step()
            if run.process.code is None:  # else it has come to its own end, and only the server does not know yet
                run.reason = run.reason or self._closed_reason
                run.process.terminate()
        while any(run.process.code is None for run in self._runs.values()):
            for run in self._runs.values():
                run.process.step()
            time.sleep(_TICK_S)
        self._see(_FOREVER)
        for worker in self._worker_ids.values():
            self._api.call("workers.unregister", worker=worker)

    # --- tasks that run ----------------------------------------------------------------------------------------------

    def _see(self, now: float) -> None:
        """Looks at the tasks, stops those that are to stop, says of the others how they ended."""
        ended = [run for run in self._runs.values() if run.process.code is not None]
        is_due = now >= self._due.look
        seen = list(self._runs.values()) if is_due else ended
        if not seen:
            return
        if is_due:
            self._due.look = time.monotonic() + _LOOK_S
        tasks = self._tasks([run.task_id for run in seen])
        self._send_output(seen)
        for run in seen:
            self._heed(run, tasks.get(run.task_id))
        for run in ended:
            self._tell(run)
        if ended:
            self._due.pop = 0.0

    def _tasks(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        fields = ["status", "status_message", "status_reason", "started"]
        found = self._api.call("tasks.get_all", id=ids, only_fields=["id", *fields], search_hidden=True)["tasks"]
        return {task["id"]: task for task in found}

    def _heed(self, run: _Run, task: Mapping[str, Any] | None) -> None:
        """What the server says of a task: a person, or the controller, may have other plans with it."""
        if task is None or task["status"] != "in_progress":
            run.is_foreign = True
            run.is_draft = task is not None and is_spoilt(task)
        elif task.get("status_message") == STOPPING:
            run.reason = run.reason or task.get("status_reason") or STOPPED_BY_USER
        if run.is_foreign or run.reason:
            run.process.terminate()

    def _tell(self, run: _Run) -> None:
        """Says how a task has ended, and frees its slot."""
        code = run.process.code
        assert code is not None
        if run.is_draft:
            with _unless_gone():
                self._api.call("tasks.stopped", task=run.task_id, force=True, status_reason=_DEQUEUED)
        elif not run.is_foreign:
            action, reason = "completed", "its process ended"
            if run.reason:
                action, reason = "failed" if run.reason.startswith(LOST) else "stopped", run.reason
            elif code != 0:
                action, reason = "failed", run.process.reason()
            with _unless_gone():
                self._api.call(f"tasks.{action}", task=run.task_id, force=True, status_reason=reason)
        del self._runs[run.slot.name]
        run.process.close()
        self._changed.add(run.slot)  # most often it runs the next one at once, and says that

    def _send_output(self, runs: Sequence[_Run]) -> None:
        events = [event for run in runs for event in self._events(run, run.process.new_output())]
        try:
            with _unless_gone():
                self._api.send_events(events)
            self._refusals = 0
        except ApiError as error:
            self._refusals += 1
            if self._refusals < _MOST_REFUSALS:
                raise
            # It answers other calls, and how tasks end is more than what they print.
            self._say_once(f"console output is dropped, which the server does not take: {error}")
        for run in runs:
            run.process.output_taken()

    def _events(self, run: _Run, text: str) -> Iterator[dict[str, Any]]:
        shown, now_ms = _as_shown(text), int(time.time() * 1000)
        for i, start in enumerate(range(0, len(shown), _EVENT_CHARS)):
            yield {
                "type": "log",
                "task": run.task_id,
                "worker": self._worker_ids[run.slot.name],
                "level": "INFO",
                "timestamp": now_ms + i,
                "msg": shown[start : start + _EVENT_CHARS],
            }

    def _report(self, slot: Slot, **more: Any) -> None:
        """A sign of life of one worker, and what it runs."""
        run = self._runs.get(slot.name)
        sign = {
            "worker": self._worker_ids[slot.name],
            "timestamp": int(time.time() * 1000),
            "queues": self._intake.there,
        }
        about = {"task": run.task_id, "queue": run.queue} if run else {}
        try:
            self._api.call("workers.status_report", **sign, **about, **more)
        except ApiError as error:
            if error.subcode not in _UNKNOWN or not run:
                raise
            # The task was deleted: the worker lives all the same, and the next look at the task ends its process.
            self._api.call("workers.status_report", **sign, **more)
        self._changed.discard(slot)
        self._due.change = time.monotonic() + _CHANGE_S

    # --- tasks that wait ---------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Takes tasks from the queues as long as there are tasks and slots."""
        while not self._leaves() and (slot := self._free_slot()) is not None:
            with self._between_tasks:
                if self._leaves():
                    break
                self._taken = self._taken or self._intake.next_task()
                if not self._taken:
                    break
                with _unless_gone():
                    self._start(slot, *self._taken)
                self._taken = None
        if self._leaves():
            self._give_back()
        if self._runs:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()

    def _give_back(self) -> None:
        """A task that was taken and could not be started yet waits for other workers."""
        if self._taken is None:
            return
        (task_id, queue), self._taken = self._taken, None
        try:
            put_back(self._api, task_id, queue)
        except ApiError as error:  # the next worker of the queue sees to it
            self._on_note(f"task {task_id} was taken, and could not be put back: {error}")

    def _leaves(self) -> bool:
        return self._closing.is_set() or self._draining.is_set()

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._on_note(text)

    def _free_slot(self) -> Slot | None:
        """The slot whose GPU has the fewest tasks of ours; None if all are taken, or no memory is left."""
        free = [slot for slot in self._slots if slot.name not in self._runs]
        for slot in sorted(free, key=lambda slot: self._running_on(slot.gpu)):
            if slot.gpu is None or self._memory is None or self._memory.allows(slot.gpu, self._running_on(slot.gpu)):
                return slot
        return None

    def _running_on(self, gpu: str | None) -> int:
        return sum(run.slot.gpu == gpu for run in self._runs.values()) if gpu else 0

    def _start(self, slot: Slot, task_id: str, queue: str) -> None:
        fields = ["id", "status", "status_reason", "last_worker", *programs.FIELDS]
        found = self._api.call("tasks.get_all", id=[task_id], only_fields=fields, search_hidden=True)["tasks"]
        earlier = [run for run in self._runs.values() if run.task_id == task_id]
        if not found:
            return  # deleted while on its way
        # Ours without a process: an earlier try to start it was heard, and only the answer was lost.
        was_heard = found[0]["status"] == "in_progress" and puller(found[0]) in self._worker_ids.values()
        if found[0]["status"] != "queued" and (earlier or not was_heard):
            # Stopped or withdrawn while on its way, or another worker's: a queue hands out entries of any status.
            self._say_once(f"task {task_id} is {found[0]['status']}: it is not run, though it was in the queue")
            return
        for run in earlier:  # it was put back into the queue while it ran
            run.is_foreign = True
            run.process.kill()
        worker = self._worker_ids[slot.name]
        # At once, as a start undoes any stop before it; and not once more, as it wipes out the wish for one.
        if not was_heard:
            self._api.call("tasks.started", task=task_id, status_reason=f"{PULLED_BY}{worker}")
        place = self._folder / slot.name
        lacking = unmet(found[0].get("script") or {}) if self._venv else []
        try:
            program = programs.prepare(found[0], place, self._folder / "kept", self._image)
        except (InputError, OSError, ValueError) as error:  # ValueError: quotes that do not close, half characters
            whose = f"{LOST} " if isinstance(error, OSError) else ""  # this machine's fault: no space, no permission
            self._api.call("tasks.failed", task=task_id, force=True, status_reason=f"{whose}{error}")
            return
        environ = {
            **self._environ,
            **slot.environ(),
            "CLEARML_TASK_ID": task_id,
            "CLEARML_LOG_TASK_TO_BACKEND": "1",
            "CLEARML_WORKER_ID": worker,
        }
        if self._memory is not None and slot.gpu is not None:
            self._memory.note(slot.gpu, self._running_on(slot.gpu))
        if lacking:
            process = self._by_agent(task_id, slot, environ, lacking)
        else:
            process = self._process(found[0], program, environ, place / "console.log")
        self._runs[slot.name] = _Run(task_id, queue, slot, process)
        self._taken = None  # whatever goes wrong from here on, it runs
        self._report(slot)
        process.step()  # a fork has been made meanwhile: it begins before other slots are seen to

    def _process(self, task: Mapping[str, Any], program: Program, environ: Mapping[str, str], log: Path) -> Process:
        if self._parents is None:
            return TaskProcess(program, environ, log, self._watchdog)
        template = json.dumps(task.get("script") or {}, sort_keys=True)
        return self._parents.run(template, program, environ, log)

    def _by_agent(self, task_id: str, slot: Slot, environ: Mapping[str, str], lacking: Sequence[str]) -> Process:
        asked = ", ".join(lacking[:_MOST_SAID]) + (", ..." if len(lacking) > _MOST_SAID else "")
        self._say_once(f"run by clearml-agent, in a virtual environment: tasks that ask for {asked}")
        place = self._folder / slot.name
        own = {"CLEARML_AGENT__AGENT__VENVS_DIR": json.dumps(str(place / "venvs"))}
        environ = {name: value for name, value in environ.items() if name not in _OF_THE_SCRIPT} | own
        return AgentProcess(programs.by_agent(task_id, slot.gpu, place), environ, place / "console.log", self._watchdog)


def _as_shown(text: str) -> str:
    """Of a line that was written over again and again, such as a progress bar, the last state."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """A task that was deleted meanwhile needs nothing more."""
    try:
        yield
    except ApiError as error:
        if error.subcode not in _UNKNOWN:
            raise


def _quick_reports(folder: Path) -> dict[str, str]:
    """Has the SDK report from the script's own process: another one costs a short script some 12 s at its end.

    The person's own configuration is read after ours, and counts.
    """
    environ = child_environ()
    named = environ.get("CLEARML_CONFIG_FILE") or environ.get("TRAINS_CONFIG_FILE")
    files = [named] if named else ["~/trains.conf", "~/clearml.conf"]
    own = folder / "clearml.conf"
    lines = ["sdk { development { report_use_subprocess: false } }"]
    lines += [f'include file("{path}")' for file in files if (path := Path(file).expanduser().absolute()).is_file()]
    own.write_text("\n".join(lines) + "\n")
    return {"CLEARML_CONFIG_FILE": str(own), "CLEARML_SUPPRESS_UPDATE_MESSAGE": "1"}
