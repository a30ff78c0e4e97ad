"""A study as it was last read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clearml_hpo.backend.scalars import Curve
from clearml_hpo.backend.study_records import StudyRecord
from clearml_hpo.core.budget import Budget, Spent
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial
from clearml_hpo.search.space import SearchSpace
from clearml_hpo.studies.watching import Look


@dataclass(frozen=True)
class Seen:
    """A study as it was last read.

    Attributes:
        version: grows with each reading, and is larger than all of an earlier process.
        plotted: the version in which a figure may last have changed: a trial has ended, or one more waits.
        spent: what it has used of its budgets.
        curved: the version in which the curves were last read.
        curves: reported ``(iteration, value)`` of what is pruned by, of the trials that run, by task.
        at: when it was read, in seconds since the epoch by the server's clock.
        head: what the page says first, see :func:`head_of`.
        problem: why the last reading has failed; empty if it has not.
    """

    version: int
    plotted: int
    record: StudyRecord
    goal: Goal
    space: SearchSpace
    trials: Sequence[Trial]
    earlier: Sequence[Trial]
    look: Look
    budget: Budget
    spent: Spent
    at: float
    curved: int
    curves: Mapping[str, Curve] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
