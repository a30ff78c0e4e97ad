"""From the source into slots: takes tasks, and starts those that are still queued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import LOST
from clearml_hpo.backend.storage import fetch
from clearml_hpo.core.errors import ApiError, ServerError
from clearml_hpo.core.notes import Note
from clearml_hpo.workers import programs
from clearml_hpo.workers.protocol import TaskReports, WorkerReports, is_gone, unless_gone
from clearml_hpo.workers.recovery import worker_of
from clearml_hpo.workers.runner import NotRunnableError, Run, Runner
from clearml_hpo.workers.slots import Slot
from clearml_hpo.workers.task_source import Source, Taken

_AT_ONCE = 8  # one look serves them all: what a user does to the last one after it must not be long ago
_FIELDS = ("status", "status_reason", "last_worker", *programs.FIELDS)


class TaskStarter:
    """Starts the tasks of a source. What it has taken, it tries again after an error, and can give back."""

    def __init__(
        self,
        api: Api,
        source: Source,
        runner: Runner,
        tasks: TaskReports,
        workers: WorkerReports,
        on_note: Callable[[str], None],
    ) -> None:
        """``tasks`` and ``workers`` report to the server what was started."""
        self._api = api
        self._source = source
        self._runner = runner
        self._tasks = tasks
        self._workers = workers
        self._on_note = on_note
        self._note_once = cache(on_note)
        self._taken: list[Taken] = []  # their processes are not yet started

    @property
    def is_under_way(self) -> bool:
        """True if a task was taken whose process is not yet started."""
        return bool(self._taken)

    def start(self, slots: Sequence[Slot]) -> bool:
        """Starts tasks in free slots, a few at a time; False if the source has no more now."""
        slots = slots[:_AT_ONCE]
        if len(self._taken) < len(slots):
            self._taken += self._source.next_tasks(self._api, len(slots) - len(self._taken))
        chosen = self._taken[: len(slots)]
        if chosen:
            self._start({taken.task_id: (slot, taken) for slot, taken in zip(slots, chosen, strict=False)})
        return len(chosen) == len(slots)

    def give_back(self) -> None:
        """Lets other workers have the tasks that were taken and could not be started yet."""
        while self._taken:
            taken = self._taken.pop()
            try:
                self._source.give_back(self._api, taken)
            except ApiError as error:  # the next worker of the queue will put it back
                text = f"task {taken.task_id} was taken, and could not be put back: {error}"
                self._on_note(Note(text, level="warning", task=taken.task_id))

    def _start(self, chosen: Mapping[str, tuple[Slot, Taken]]) -> None:
        tasks = self._tasks.read(chosen, _FIELDS)
        for task_id in chosen.keys() - tasks.keys():  # deleted while on their way
            self._drop(chosen[task_id][1])
        found = {task_id: self._state(task) for task_id, task in tasks.items()}
        for task_id in (task_id for task_id, state in found.items() if state is None):
            # Stopped or withdrawn while on its way, or another worker's: a queue hands out entries of any status.
            text = f"task {task_id} is {tasks[task_id]['status']}: it is not run, though it was in the queue"
            self._note_once(Note(text, level="warning", task=task_id))
            self._drop(chosen[task_id][1])
        # First and only once: a reported start discards any request to stop that was made before it.
        refused = self._tasks.started({i: chosen[i][0] for i in chosen if found.get(i) == "queued"})
        begun: list[Run] = []
        try:
            for task_id in [i for i in chosen if found.get(i) and i not in refused]:
                run = self._run(*chosen[task_id], tasks[task_id])
                begun += [run] if run is not None else []
        finally:
            self._workers.report([run.slot for run in begun])
            for run in begun:
                run.process.step()  # the fork exists by now: it begins before other slots are filled
        for task_id, error in refused.items():
            if not is_gone(error):
                raise error
            self._drop(chosen[task_id][1])

    def _run(self, slot: Slot, taken: Taken, task: Mapping[str, Any]) -> Run | None:
        """Starts the process; None if the task cannot be run here, which the server then knows."""
        for run in self._earlier(taken.task_id):  # it was put back into the queue while it ran
            run.is_foreign = True
            run.process.kill()
        try:
            run = self._runner.start(slot, taken, task, self._workers.ids[slot.name], self._archive(task))
        except NotRunnableError as error:
            with unless_gone():
                self._tasks.failed(taken.task_id, str(error))
            self._drop(taken)
            return None
        self._taken.remove(taken)  # it runs, even if something fails from here on
        return run

    def _drop(self, taken: Taken) -> None:
        self._taken.remove(taken)
        self._source.ended(taken.task_id)

    def _earlier(self, task_id: str) -> list[Run]:
        return [run for run in self._runner.runs.values() if run.task_id == task_id]

    def _archive(self, task: Mapping[str, Any]) -> bytes | None:
        """The files of a task's script, fetched once; None if it has none but the script itself."""
        found = programs.archive_of(task)
        if found is None:
            return None
        address, digest = f"{self._api.files}{found[0]}", found[1]
        path = self._runner.folder / "archives" / digest
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            try:
                fetch(self._api, address, path)
            except (OSError, ServerError) as error:
                raise NotRunnableError(f"{LOST} {error}") from None
        return path.read_bytes()

    def _state(self, task: Mapping[str, Any]) -> str | None:
        """``queued``; ``started`` by an earlier try of ours whose answer was lost; None if it is not to be run."""
        if task["status"] == "queued":
            return "queued"
        is_ours = task["status"] == "in_progress" and worker_of(task) in self._workers.ids.values()
        return "started" if is_ours and not self._earlier(task["id"]) else None
