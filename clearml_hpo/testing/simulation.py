"""A simulated ClearML: trial tasks that train by curve, and workers that run them, an iteration at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from clearml_hpo.objective import MetricSummary
from clearml_hpo.search_space import Params
from clearml_hpo.tasks.trial_tasks import TaskSnapshot

Curve = Callable[[Params], Sequence[float]]


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
    """A task and its training; ``curve`` holds the objective by iteration, from 1."""

    task_id: str
    number: int
    params: Params
    curve: Sequence[float]
    status: str = "created"
    iteration: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def values(self) -> Sequence[float]:
        """What was reported so far."""
        return self.curve[: self.iteration]


class Simulation:
    """Stands in for both ``scheduler.Tasks`` and ``executors.Executor``.

    Attributes:
        calls: how often each method was called, which is how many calls a server would have seen.
        tasks: all tasks by id, for a test to look at and to meddle with.
        queue: ids of tasks that wait, first in first out.
    """

    def __init__(self, curve: Curve, *, workers: int = 2, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.calls: Counter[str] = Counter()
        self.tasks: dict[str, SimulatedTask] = {}
        self.queue: list[str] = []
        self.slots = workers
        self._curve = curve

    # --- scheduler.Tasks -------------------------------------------------------------------------------------------

    def create(self, number: int, attempt: int, params: Params) -> str:
        """Makes a task."""
        self.calls["create"] += 1
        task_id = f"task-{len(self.tasks)}"
        self.tasks[task_id] = SimulatedTask(task_id, number, dict(params), self._curve(params))
        return task_id

    def poll(self, task_ids: Sequence[str]) -> Mapping[str, TaskSnapshot]:
        """Where the tasks stand."""
        self.calls["poll"] += 1
        return {task_id: _snapshot(self.tasks[task_id]) for task_id in task_ids if task_id in self.tasks}

    def histories(self, task_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, float]]]:
        """What the tasks reported."""
        self.calls["histories"] += 1
        return {task_id: list(enumerate(self.tasks[task_id].values, start=1)) for task_id in task_ids}

    def mark(self, task_id: str, **properties: object) -> None:
        """Sets user properties."""
        self.calls["mark"] += 1
        self.tasks[task_id].properties.update({name: str(value) for name, value in properties.items()})

    # --- executors.Executor ----------------------------------------------------------------------------------------

    def submit(self, task_id: str) -> None:
        """Puts a task in line."""
        self.calls["submit"] += 1
        self.tasks[task_id].status = "queued"
        self.queue.append(task_id)

    def withdraw(self, task_ids: Sequence[str]) -> None:
        """Takes tasks out of the line."""
        self.calls["withdraw"] += 1
        for task_id in task_ids:
            if task_id in self.queue:
                self.queue.remove(task_id)
                self.tasks[task_id].status = "created"

    def abort(self, task_ids: Sequence[str], reason: str) -> None:
        """Stops tasks that run."""
        self.calls["abort"] += 1
        for task_id in task_ids:
            if self.tasks[task_id].status == "in_progress":
                self.end(task_id, "stopped")

    def workers(self) -> int:
        """How many slots there are."""
        self.calls["workers"] += 1
        return self.slots

    # --- the world ---------------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[SimulatedTask]:
        """Tasks that run."""
        return [task for task in self.tasks.values() if task.status == "in_progress"]

    def advance(self, seconds: float = 1.0) -> None:
        """Fills the slots, and lets every running task report one iteration, or end."""
        self.clock.advance(seconds)
        while self.queue and len(self.running) < self.slots:
            task = self.tasks[self.queue.pop(0)]
            task.status, task.started_at = "in_progress", self.clock()
        for task in self.running:
            if task.iteration < len(task.curve):
                task.iteration += 1
            else:
                self.end(task.task_id, "completed")

    def end(self, task_id: str, status: str) -> None:
        """Ends a task: completed, failed or stopped."""
        task = self.tasks[task_id]
        task.status, task.ended_at = status, self.clock()


def _snapshot(task: SimulatedTask) -> TaskSnapshot:
    values = task.values
    return TaskSnapshot(
        task.task_id,
        task.status,
        summary=MetricSummary(values[-1], min(values), max(values), len(values)) if values else None,
        iteration=task.iteration,
        worker="simulated",
        started_at=task.started_at,
        ended_at=task.ended_at,
    )
