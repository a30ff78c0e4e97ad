"""A simulated world: tasks that train by curve, workers that run them, an iteration at a time, users and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
    """A task and its training; ``curve`` holds what it reports by iteration, from 1: ``METRIC``, or several.

    ``length`` and ``continues`` are those of ``Trial``.
    """

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
    length: int = 0
    continues: str = ""
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


class World:
    """Tasks, queues and workers, and what happens to them.

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

    def __init__(self, *, workers: int | Mapping[str, int] = 2, clock: ManualClock | None = None) -> None:
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

    def take_back(self, task_id: str) -> None:
        """Takes a task that waits out of the line."""
        self.queue.remove(task_id)
        self.tasks[task_id].status = self.tasks[task_id].status_before

    # --- what users and workers do to tasks --------------------------------------------------------------------------

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
        for task_id in [task_id for task_id in self.queue if self.tasks[task_id].queue == name]:
            self.take_back(task_id)
        self.deleted_queues.add(name)
