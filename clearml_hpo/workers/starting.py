"""From the source into a slot: takes a task, and starts it if it is still queued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import LOST
from clearml_hpo.backend.outputs import download
from clearml_hpo.core.errors import ApiError, ServerError
from clearml_hpo.core.notes import Note
from clearml_hpo.workers import programs
from clearml_hpo.workers.protocol import TaskReports, WorkerReports, unless_gone
from clearml_hpo.workers.recovery import worker_of
from clearml_hpo.workers.runner import NotRunnableError, Run, Runner
from clearml_hpo.workers.slots import Slot
from clearml_hpo.workers.task_source import Source, Taken

_FIELDS = ("status", "status_reason", "last_worker", *programs.FIELDS)


class TaskStarter:
    """Starts the tasks of a source, one at a time."""

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
        self._taken: Taken | None = None  # its process is not yet started

    @property
    def is_under_way(self) -> bool:
        """True if a task was taken whose process is not yet started."""
        return self._taken is not None

    def start_next(self, slot: Slot) -> bool:
        """Starts the next task in a free slot; False if there is none. After an error the same task is tried again."""
        self._taken = self._taken or self._source.next_task(self._api)
        if self._taken is None:
            return False
        taken = self._taken
        with unless_gone():
            self._start(slot, taken)
        self._taken = None
        if all(run.taken is not taken for run in self._runner.runs.values()):
            self._source.ended(taken.task_id)
        return True

    def give_back(self) -> None:
        """Lets other workers have a task that was taken and could not be started yet."""
        if self._taken is None:
            return
        try:
            self._source.give_back(self._api, self._taken)
        except ApiError as error:  # the next worker of the queue will put it back
            task_id = self._taken.task_id
            text = f"task {task_id} was taken, and could not be put back: {error}"
            self._on_note(Note(text, level="warning", task=task_id))
        finally:
            self._taken = None

    def _start(self, slot: Slot, taken: Taken) -> None:
        task = self._tasks.read([taken.task_id], _FIELDS).get(taken.task_id)
        if task is None:
            return  # deleted while on its way
        earlier = [run for run in self._runner.runs.values() if run.task_id == taken.task_id]
        was_heard = self._was_heard(task, earlier)
        if task["status"] != "queued" and not was_heard:
            # Stopped or withdrawn while on its way, or another worker's: a queue hands out entries of any status.
            text = f"task {taken.task_id} is {task['status']}: it is not run, though it was in the queue"
            self._note_once(Note(text, level="warning", task=taken.task_id))
            return
        for run in earlier:  # it was put back into the queue while it ran
            run.is_foreign = True
            run.process.kill()
        # First and only once: a reported start discards any request to stop that was made before it.
        if not was_heard:
            self._tasks.started(taken.task_id, slot)
        try:
            run = self._runner.start(slot, taken, task, self._workers.ids[slot.name], self._archive(task))
        except NotRunnableError as error:
            self._tasks.failed(taken.task_id, str(error))
            return
        self._taken = None  # it runs, even if something fails from here on
        self._workers.report(slot)
        run.process.step()  # the fork exists by now: it begins before other slots are filled

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
                download(self._api, address, path)
            except (OSError, ServerError) as error:
                raise NotRunnableError(f"{LOST} {error}") from None
        return path.read_bytes()

    def _was_heard(self, task: Mapping[str, Any], earlier: Sequence[Run]) -> bool:
        """True if an earlier try reported the start and only the answer was lost: ours, without a process."""
        return task["status"] == "in_progress" and worker_of(task) in self._workers.ids.values() and not earlier
