"""A simulated ClearML: trial tasks that train by curve, and workers that run them, an iteration at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from clearml_hpo.backend.codes import BAD_REQUEST, Subcode
from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import MetricSummary
from clearml_hpo.core.values import Params

METRIC = "validation/loss"

Report = float | Mapping[str, float]
Curve = Callable[[Params], Sequence[Report]]


class ManualClock:
    """Time that passes when told to; seconds."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


@dataclass
class SimulatedTask:
    """A task and its training; ``curve`` holds what it reports by iteration, from 1: ``METRIC``, or several."""

    task_id: str
    number: int
    attempt: int
    params: Params
    curve: Sequence[Report]
    status: str = "created"
    status_before: str = "created"
    reason: str = ""
    queue: str = ""
    worker: str = ""
    iteration: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    updated_at: float | None = None
    is_stopping: bool = False
    properties: dict[str, str] = field(default_factory=dict)

    def values(self, metric: str = METRIC) -> list[tuple[int, float]]:
        """What was reported so far of a scalar, by iteration."""
        reports = [report if isinstance(report, Mapping) else {METRIC: report} for report in self.curve]
        seen = enumerate(reports[: self.iteration], start=1)
        return [(step, report[metric]) for step, report in seen if metric in report]

    def summaries(self) -> dict[str, MetricSummary]:
        """As a server keeps them."""
        metrics = {name for report in self.curve if isinstance(report, Mapping) for name in report} | {METRIC}
        curves = {metric: [value for _, value in self.values(metric)] for metric in metrics}
        return {m: MetricSummary(c[-1], min(c), max(c), len(c)) for m, c in curves.items() if c}


class Simulation:
    """Stands in for both ``scheduler.Tasks`` and ``executors.Executor``.

    Attributes:
        calls: how often each method was called, which is how many calls a server would have seen.
        tasks: all tasks by id, for a test to look at and to meddle with.
        queue: ids of tasks that wait, first in first out, in whichever queue.
        slots: workers by queue.
        deleted_queues: names of queues that are no longer there; their workers still are.
        silent: ids of running tasks of which nothing is heard: their machine is gone.
        looked_at: the scalar whose history is asked for.
        logs: consoles by id of the task.
    """

    def __init__(self, curve: Curve, *, workers: int | Mapping[str, int] = 2, clock: ManualClock | None = None) -> None:
        """``workers`` serve the queue ``default``, or those named."""
        self.clock = clock or ManualClock()
        self.calls: Counter[str] = Counter()
        self.tasks: dict[str, SimulatedTask] = {}
        self.queue: list[str] = []
        self.slots = dict(workers) if isinstance(workers, Mapping) else {"default": workers}
        self.silent: set[str] = set()
        self.deleted_queues: set[str] = set()
        self.looked_at = METRIC
        self.logs: dict[str, str] = {}
        self._curve = curve
        self._made = 0
        self._asked_for: set[str] = set()

    # --- scheduler.Tasks -------------------------------------------------------------------------------------------

    def create(self, number: int, attempt: int, params: Params) -> str:
        """Makes a task."""
        self.calls["create"] += 1
        task_id = f"task-{self._made}"
        self._made += 1
        self.tasks[task_id] = SimulatedTask(task_id, number, attempt, dict(params), self._curve(params))
        return task_id

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
                self.queue.remove(task_id)
            elif task_id not in self._asked_for:
                self._asked_for.add(task_id)
                left[task_id] = task.status
                continue
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

    # --- the world ---------------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[SimulatedTask]:
        """Tasks that run."""
        return [task for task in self.tasks.values() if task.status == "in_progress"]

    def advance(self, seconds: float = 1.0) -> None:
        """Fills the slots, and lets every running task report one iteration, or end."""
        self.clock.advance(seconds)
        for task_id in list(self.queue):
            task = self.tasks[task_id]
            busy = {t.worker for t in self.running}
            free = [w for i in range(self.slots.get(task.queue, 0)) if (w := f"{task.queue}:{i}") not in busy]
            if free:
                self.queue.remove(task_id)
                task.status, task.started_at, task.worker = "in_progress", self.clock(), free[0]
        for task in self.running:
            if task.task_id in self.silent:
                continue
            task.updated_at = self.clock()
            if task.iteration < len(task.curve):
                task.iteration += 1
            else:
                self.end(task.task_id, "completed")

    def end(self, task_id: str, status: str, reason: str = "") -> None:
        """Ends a task: completed, failed or stopped."""
        task = self.tasks[task_id]
        if task_id in self.queue:
            self.queue.remove(task_id)
        task.status, task.reason = status, reason
        task.ended_at = task.updated_at = self.clock()

    # --- what users do in the web page -----------------------------------------------------------------------------

    def reset(self, task_id: str) -> None:
        """Makes a task a draft again, without times and metrics."""
        if task_id in self.queue:
            self.queue.remove(task_id)
        task = self.tasks[task_id]
        task.status, task.reason, task.iteration, task.worker = "created", "", 0, ""
        task.started_at = task.ended_at = None

    def take(self, task_id: str) -> None:
        """A worker takes a task out of the line, and has not started it yet."""
        self.queue.remove(task_id)

    def start(self, task_id: str, worker: str = "late") -> None:
        """A worker starts a task, whatever its status."""
        task = self.tasks[task_id]
        task.status, task.started_at, task.worker = "in_progress", self.clock(), worker

    def dequeue_running(self, task_id: str) -> None:
        """Makes a draft of a task that runs, as ClearML's ``tasks.dequeue`` does."""
        self.tasks[task_id].status = "created"

    def delete(self, task_id: str) -> None:
        """Deletes a task, whatever it does."""
        if task_id in self.queue:
            self.queue.remove(task_id)
        del self.tasks[task_id]
        self.silent.discard(task_id)

    def delete_queue(self, name: str) -> None:
        """Deletes a queue; what waits in it waits nowhere then."""
        self.withdraw([task_id for task_id in self.queue if self.tasks[task_id].queue == name])
        self.deleted_queues.add(name)

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
