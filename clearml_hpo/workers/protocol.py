"""Reports to the server, as agents make them: that workers live, what they run, what tasks print, how tasks end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import LOST, PULLED_BY, Subcode
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.notes import Note
from clearml_hpo.workers.runner import Run, Runner
from clearml_hpo.workers.slots import Slot
from clearml_hpo.workers.statistics import MachineStatistics
from clearml_hpo.workers.task_source import Source

_REPORT_S = 30.0
"""The longest time between two signs of life of a worker, or of a task that reports nothing itself."""
_CHANGE_S = 2.0
"""How long the server may list a worker as busy that has no task any more."""
_EVENT_CHARS = 64 * 1024  # as agents send them
_MOST_REFUSALS = 3  # of console output, in a row
_UNKNOWN = (Subcode.INVALID_ID, Subcode.NO_SUCH_TASK, Subcode.EVENTS_NOT_ADDED)
_DEQUEUED = "it was taken out of its queue while it ran"


class TaskReports:
    """Reports of the tasks."""

    def __init__(self, api: Api, worker_ids: Mapping[str, str], on_note: Callable[[str], None]) -> None:
        """``worker_ids`` by name of the slot."""
        self._api = api
        self._worker_ids = worker_ids
        self._note_once = cache(on_note)
        self._refusals = 0

    def read(self, task_ids: Iterable[str], fields: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The tasks by id, in one call; those that were deleted are missing."""
        found = self._api.call("tasks.get_all", id=[*task_ids], only_fields=["id", *fields], search_hidden=True)
        return {task["id"]: task for task in found["tasks"]}

    def started(self, tasks: Mapping[str, Slot]) -> dict[str, ApiError]:
        """Reports that tasks, by id, are about to run. The server then forgets any request to stop them.

        Returns:
            Why the server refused it, by id.
        """
        calls = [
            ("tasks.started", {"task": task_id, "status_reason": f"{PULLED_BY}{self._worker_ids[slot.name]}"})
            for task_id, slot in tasks.items()
        ]
        answers = zip(tasks, self._api.call_each(calls), strict=True)
        return {task_id: answer for task_id, answer in answers if isinstance(answer, ApiError)}

    def failed(self, task_id: str, reason: str) -> None:
        """Reports that a task cannot be run."""
        self._api.call("tasks.failed", task=task_id, force=True, status_reason=reason)

    def ping(self, runs: Iterable[Run]) -> None:
        """Reports that tasks still run: a script may be silent for hours."""
        for answer in self._api.call_each([("tasks.ping", {"task": run.task_id}) for run in runs]):
            if isinstance(answer, ApiError) and not is_gone(answer):
                raise answer

    def send_output(self, runs: Sequence[Run]) -> None:
        """Sends what tasks have printed since the last time, in one call."""
        events = [event for run in runs for event in self._events(run, run.process.new_output())]
        try:
            with unless_gone():
                self._api.send_events(events)
            self._refusals = 0
        except ApiError as error:
            self._refusals += 1
            if self._refusals < _MOST_REFUSALS:
                raise
            # It answers other calls, and how tasks end is more than what they print.
            self._note_once(Note(f"console output is dropped, the server refuses it: {error}", level="warning"))
        for run in runs:
            run.process.output_taken()

    def ended(self, runs: Sequence[Run]) -> dict[str, ApiError]:
        """Reports how tasks ended, but those to which a user or the controller has given another status.

        Returns:
            Why that is not known to the server, by id of the task; one that was deleted needs nothing more.
        """
        ends = [(run.task_id, *ending) for run in runs if (ending := _ending(run)) is not None]
        calls = [
            (f"tasks.{action}", {"task": task_id, "force": True, "status_reason": reason})
            for task_id, action, reason in ends
        ]
        answers = zip(ends, self._api.call_each(calls), strict=True)
        errors = {task_id: answer for (task_id, *_), answer in answers if isinstance(answer, ApiError)}
        return {task_id: error for task_id, error in errors.items() if not is_gone(error)}

    def _events(self, run: Run, text: str) -> Iterator[dict[str, Any]]:
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


class WorkerReports:
    """Reports of the workers, one for each slot.

    Attributes:
        ids: of the workers, by name of the slot.
    """

    def __init__(self, api: Api, source: Source, runner: Runner, worker_ids: Mapping[str, str]) -> None:
        """``worker_ids`` by name of the slot."""
        self.ids = worker_ids
        self._api = api
        self._source = source
        self._runner = runner
        self._statistics = MachineStatistics(tuple(slot.gpu for slot in runner.slots if slot.gpu))
        self._freed: set[Slot] = set()  # not reported yet: most often a slot runs the next task at once
        self._due = 0.0
        self._freed_due = 0.0

    def register(self) -> None:
        """Registers all workers."""
        for worker in self.ids.values():
            self._source.register(self._api, worker)

    def unregister(self) -> None:
        """Removes all workers from the server's list."""
        for worker in self.ids.values():
            self._api.call("workers.unregister", worker=worker)

    def freed(self, slot: Slot) -> None:
        """Notes that a slot has no task any more, to be reported soon."""
        self._freed.add(slot)

    def step(self, now: float) -> bool:
        """Reports what is due; True if that was a report of all workers, with the machine's statistics."""
        is_due = now >= self._due
        if is_due:
            statistics = self._statistics.measure()
            self._due = now + _REPORT_S
            self.report(self._runner.slots, machine_stats=statistics)
        elif self._freed and now >= self._freed_due:
            self.report([*self._freed])
        return is_due

    def report(self, slots: Sequence[Slot], **more: Any) -> None:
        """Reports that workers live, and what they run."""
        if not slots:
            return
        signs = [self._sign(slot) for slot in slots]
        answers = self._api.call_each([("workers.status_report", {**sign, **more}) for sign in signs])
        for slot, sign, answer in zip(slots, signs, answers, strict=True):
            if isinstance(answer, ApiError):
                if not is_gone(answer) or "task" not in sign:
                    raise answer
                # The task was deleted: the worker lives all the same, and the next look at the task ends its process.
                del sign["task"], sign["queue"]
                self._api.call("workers.status_report", **sign, **more)
            self._freed.discard(slot)
        self._freed_due = time.monotonic() + _CHANGE_S

    def _sign(self, slot: Slot) -> dict[str, Any]:
        run = self._runner.runs.get(slot.name)
        about = {"task": run.task_id, "queue": run.taken.queue} if run else {}
        now_ms = int(time.time() * 1000)
        return {"worker": self.ids[slot.name], "timestamp": now_ms, "queues": self._source.queues, **about}


def is_gone(error: ApiError) -> bool:
    """Whether it says that a task was deleted."""
    return error.subcode in _UNKNOWN


@contextlib.contextmanager
def unless_gone() -> Iterator[None]:
    """Ignores that a task was deleted meanwhile: it needs nothing more."""
    try:
        yield
    except ApiError as error:
        if not is_gone(error):
            raise


def _ending(run: Run) -> tuple[str, str] | None:
    """The call that reports how a task ended, and the reason; None if its status is not ours to set."""
    if run.is_draft:
        return "stopped", _DEQUEUED
    if run.is_foreign:
        return None
    if run.reason:
        return "failed" if run.reason.startswith(LOST) else "stopped", run.reason
    if run.process.code != 0:
        return "failed", run.process.reason()
    return "completed", "its process ended"


def _as_shown(text: str) -> str:
    """The text as a terminal shows it: of a line that was overwritten, such as a progress bar, the last state."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
