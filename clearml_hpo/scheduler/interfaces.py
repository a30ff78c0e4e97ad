"""What the loop needs of trial tasks, and who hears of what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clearml_hpo.backend.imported import Finished
from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.not_finite import Curve
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Params


class Tasks(Protocol):
    """What the loop needs of trial tasks; ``tasks.TrialTasks`` bound to a template."""

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
        """Makes the trial task and returns its id; ``order`` is the user's by which the point is tried, if it is.

        ``length`` and ``continues`` are those of ``Trial``.
        """

    def end_as(self, task_id: str, finished: Finished) -> None:
        """Has a task that was only made end as its trial has ended elsewhere."""

    def poll(self, task_ids: Sequence[str]) -> Mapping[str, TaskSnapshot]:
        """Where the tasks stand; a deleted one is missing."""

    def histories(self, task_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Reported ``(iteration, value)`` of what the pruner looks at, by task."""

    def as_reported(self, snapshot: TaskSnapshot, curve: Curve, *, ends: bool = False) -> tuple[TaskSnapshot, Curve]:
        """The task, and its curve, with NaN for what the SDK has replaced; ``ends``: what is reported by now counts."""

    def mark(self, task_id: str, **properties: object) -> None:
        """Sets user properties of a trial task."""

    def give_up(self, task_id: str, reason: str) -> None:
        """Ends a task that no worker runs any more, as failed."""

    def discard(self, task_ids: Sequence[str]) -> None:
        """Deletes tasks that were made and never ran."""

    def end_draft(self, task_id: str, reason: str) -> None:
        """Ends, as stopped, a task that has become a draft while it ran."""

    def log_tail(self, task_id: str, lines: int) -> str:
        """The last lines of a task's console."""

    def output(self, task_id: str) -> object:
        """What a task has put out so far; another object than before if there is a new line or scalar."""


@dataclass(frozen=True)
class Hooks:
    """Who hears of what.

    Attributes:
        on_trial: every change of a trial's state.
        on_note: what the user should know.
        on_stopping: the study is about to end its trials, for the given reason.
        params_of: what a trial that has ended ran with; a script may have suggested parameters itself.
    """

    on_trial: Callable[[Trial], None] = field(default=lambda trial: None)
    on_note: Callable[[str], None] = field(default=lambda text: None)
    on_stopping: Callable[[str], None] = field(default=lambda reason: None)
    params_of: Callable[[Trial], Params] = field(default=lambda trial: trial.params)
