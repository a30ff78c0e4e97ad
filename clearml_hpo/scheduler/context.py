"""What the parts of the scheduler share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.notes import Level, Note
from clearml_hpo.core.trial import Trial
from clearml_hpo.executors.base import Executor
from clearml_hpo.scheduler.interfaces import Hooks, Tasks
from clearml_hpo.scheduler.policy import Policy
from clearml_hpo.scheduler.roster import Roster
from clearml_hpo.search.learner import OptunaStudy


@dataclass(frozen=True)
class Context:
    """One study, as the parts of the scheduler need it.

    Attributes:
        study: proposes points and learns from values.
        tasks: the trial tasks on the server.
        clock: the time in seconds; a test may let it stand still.
        roster: the trials.
    """

    study: OptunaStudy
    tasks: Tasks
    executor: Executor
    goal: Goal
    policy: Policy
    hooks: Hooks = field(default_factory=Hooks)
    clock: Callable[[], float] = time.time
    roster: Roster = field(default_factory=Roster)

    def note(self, text: str, level: Level = "info", trial: Trial | None = None) -> None:
        """Tells the user something, about a trial perhaps."""
        ids: dict[str, str | int] = {}
        if trial is not None:
            ids = {"trial": trial.number, "attempt": trial.attempt, "task": trial.task_id}
        self.hooks.on_note(Note(text, level, **ids))
