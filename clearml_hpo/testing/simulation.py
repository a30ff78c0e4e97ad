"""The simulated world as the scheduler sees ClearML: its tasks, and an executor of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from clearml_hpo.backend.codes import BAD_REQUEST, Subcode
from clearml_hpo.backend.imported import Finished
from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.values import Params
from clearml_hpo.testing.world import Curve, ManualClock, SimulatedTask, World


class Simulation(World):
    """A world that stands in for both ``scheduler.Tasks`` and ``executors.Executor``."""

    def __init__(self, curve: Curve, *, workers: int | Mapping[str, int] = 2, clock: ManualClock | None = None) -> None:
        """A task reports what ``curve`` makes of its parameters; ``workers`` as for :class:`World`."""
        super().__init__(workers=workers, clock=clock)
        self._curve = curve
        self._made = 0
        self._asked_for: set[str] = set()

    # --- scheduler.Tasks -------------------------------------------------------------------------------------------

    def create(
        self,
        number: int,
        attempt: int,
        params: Params,
        order: str = "",
        properties: Mapping[str, str] | None = None,
        *,
        length: int = 0,
        continues: str = "",
    ) -> str:
        """Makes a task; one that goes on from another one begins at the iteration where that has ended."""
        self.calls["create"] += 1
        task_id = f"task-{self._made}"
        self._made += 1
        curve = self._curve(params)[: length or None]
        task = SimulatedTask(task_id, number, attempt, dict(params), curve, length=length, continues=continues)
        task.iteration = self.tasks[continues].iteration if continues else 0
        self.tasks[task_id] = task
        self.tasks[task_id].properties.update(properties or {})
        return task_id

    def end_as(self, task_id: str, finished: Finished) -> None:
        """Ends a task that was only made."""
        self.calls["end_as"] += 1
        self._existing("end_as", task_id)
        self.end(task_id, {"completed": "completed", "pruned": "stopped", "failed": "failed"}[finished.state])

    def poll(self, task_ids: Sequence[str]) -> Mapping[str, TaskSnapshot]:
        """Where the tasks stand."""
        self.calls["poll"] += 1
        return {task_id: _snapshot(self.tasks[task_id]) for task_id in task_ids if task_id in self.tasks}

    def histories(self, task_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, float]]]:
        """What the tasks reported."""
        self.calls["histories"] += 1
        return {task_id: self.tasks[task_id].values(self.looked_at) for task_id in task_ids if task_id in self.tasks}

    def as_reported(
        self, snapshot: TaskSnapshot, curve: Sequence[tuple[int, float]], *, ends: bool = False
    ) -> tuple[TaskSnapshot, Sequence[tuple[int, float]]]:
        """Nothing is replaced here: NaN is reported as such."""
        return snapshot, curve

    def mark(self, task_id: str, **properties: object) -> None:
        """Sets user properties."""
        self.calls["mark"] += 1
        self._existing("mark", task_id).properties.update({name: str(value) for name, value in properties.items()})

    def give_up(self, task_id: str, reason: str) -> None:
        """Fails a task that no worker runs any more."""
        self.calls["give_up"] += 1
        self._existing("give_up", task_id)
        self.end(task_id, "failed", reason)

    def discard(self, task_ids: Sequence[str]) -> None:
        """Deletes tasks."""
        self.calls["discard"] += 1
        for task_id in task_ids:
            self._existing("discard", task_id)
            del self.tasks[task_id]

    def end_draft(self, task_id: str, reason: str) -> None:
        """Stops a draft that has run."""
        self.calls["end_draft"] += 1
        self._existing("end_draft", task_id)
        self.end(task_id, "stopped", reason)

    def log_tail(self, task_id: str, lines: int) -> str:
        """Its console."""
        self.calls["log_tail"] += 1
        return self.logs.get(task_id, f"log of {task_id}")

    def output(self, task_id: str) -> object:
        """Its console."""
        self.calls["output"] += 1
        return self.logs.get(task_id)

    # --- executors.Executor ----------------------------------------------------------------------------------------

    def submit(self, task_id: str, queue: str = "default") -> None:
        """Puts a task in line; one that is gone, or is there already, needs nothing."""
        self.calls["submit"] += 1
        if queue in self.deleted_queues:
            raise ApiError("submit", BAD_REQUEST, Subcode.NO_SUCH_QUEUE, f"Invalid queue id: {queue}")
        task = self.tasks.get(task_id)
        if task is None or task.status not in ("created", "stopped", "failed"):
            return
        task.status_before = task.status
        task.status, task.queue, task.updated_at = "queued", queue, self.clock()
        self.queue.append(task_id)

    def withdraw(self, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Takes tasks out of the line; one that was taken is left once, and lost to its worker at the second time."""
        self.calls["withdraw"] += 1
        left = {i: self.tasks[i].status for i in task_ids if i in self.tasks and self.tasks[i].status == "in_progress"}
        for task_id in task_ids:
            task = self.tasks.get(task_id)
            if task is None or task.status != "queued":
                continue
            if task_id in self.queue:
                self.take_back(task_id)
            elif task_id not in self._asked_for:
                self._asked_for.add(task_id)
                left[task_id] = task.status
            else:
                task.status = task.status_before
        return left

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Stops tasks that run."""
        self.calls["abort"] += 1
        for task_id in task_ids:
            task = self.tasks.get(task_id)
            if task is not None and task.status == "in_progress":
                if task_id in self.silent:
                    task.is_stopping = True
                else:
                    self.end(task_id, "stopped", reason)

    def workers(self) -> Mapping[str, int]:
        """How many slots there are."""
        self.calls["workers"] += 1
        return dict(self.slots)

    def how_to_serve(self, queue: str) -> str:
        """A command."""
        return f"serve {queue}"

    def waiting(self) -> Sequence[str]:
        """What is in line, in queues that have a number of slots."""
        self.calls["waiting"] += 1
        return [task_id for task_id in self.queue if self.tasks[task_id].queue in self.slots]

    def deleted(self) -> Collection[str]:
        """Queues that are gone."""
        self.calls["deleted"] += 1
        return set(self.deleted_queues)

    def elsewhere(self, task_ids: Sequence[str]) -> Sequence[str]:
        """What is in other queues."""
        self.calls["elsewhere"] += 1
        return [i for i in task_ids if i in self.tasks and self.tasks[i].queue not in self.slots]

    def close(self) -> None:
        """Nothing to let go of."""

    def _existing(self, method: str, task_id: str) -> SimulatedTask:
        if task_id not in self.tasks:
            raise ApiError(method, BAD_REQUEST, Subcode.NO_SUCH_TASK, f"Invalid task id: {task_id}")
        return self.tasks[task_id]


def _snapshot(task: SimulatedTask) -> TaskSnapshot:
    return TaskSnapshot(
        task.task_id,
        task.status,
        summaries=task.summaries(),
        iteration=task.iteration,
        worker=task.worker,
        reason=task.reason,
        started_at=task.started_at,
        ended_at=task.ended_at,
        updated_at=task.updated_at,
        is_stopping=task.is_stopping and task.status == "in_progress",
    )
