"""A study looked at from anywhere: what its controller sees, read from the server again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.lease import driven_s, is_held_by
from clearml_hpo.backend.names import own_queue_name, workers_by_queue
from clearml_hpo.controller.policy import placement_of
from clearml_hpo.core.trial import Trial
from clearml_hpo.studies.study import Study
from clearml_hpo.views.display import Progress

_WORKERS_EVERY_S = 10.0
"""Least time between two counts of workers on a screen that watches a study."""


@dataclass(frozen=True)
class Look:
    """A study at one moment.

    Attributes:
        changed: trials whose state is another one than at the look before; none at the first look.
        is_over: whether it has ended; one whose controller has died without a word has not.
    """

    progress: Progress
    changed: tuple[Trial, ...]
    is_over: bool


class Watch:
    """Looks at one study: a call for its task, one for trials that have changed, at times one for workers."""

    def __init__(self, study: Study, api: Api, clock: Callable[[], float] = time.time) -> None:
        self.study = study
        self._api = api
        self._clock = clock
        self._states: dict[str, object] | None = None
        self._workers: dict[str, int] = {}
        self._asked_at = float("-inf")

    def look(self, *, trials_alone: bool = False) -> Look:
        """The study as it is now, or as it was, with its trials as they are now.

        Raises:
            ApiError: the server is in trouble; look again later.
            InputError: the study was deleted.
        """
        study = self.study.refresh_changed(record=not trials_alone)
        record, trials = study.record, study.trials
        now = self._clock() + self._api.server_ahead_s
        is_driven = is_held_by(record.holder, record.updated_at or 0.0, now)
        budget, workers = study.file.budget, self._workers_of(trials)
        progress = Progress(
            trials,
            sum(workers.values()),
            driven_s(record.properties, now if is_driven else record.updated_at or 0.0),
            budget.trials,
            workers,
            study.earlier_attempts,
            time_budget_s=budget.wall_s,
            is_driven=is_driven,
        )
        return Look(progress, self._changed(trials), record.is_over)

    def _changed(self, trials: Sequence[Trial]) -> tuple[Trial, ...]:
        before, self._states = self._states, {trial.task_id: trial.state for trial in trials}
        return tuple(t for t in trials if before is not None and before.get(t.task_id) != t.state)

    def _workers_of(self, trials: Sequence[Trial]) -> dict[str, int]:
        """How many workers each queue has that the study uses; asked now and then."""
        if self._clock() - self._asked_at >= _WORKERS_EVERY_S:
            serving = workers_by_queue(self._api, key="name")
            placed = placement_of(self.study.file).all_queues
            own = {name: own_queue_name(name, self.study.study_id) for name in placed}
            names = sorted({*placed, *(trial.queue for trial in trials if trial.queue)})
            self._workers = {name: len(serving.get(name) or serving.get(own.get(name, "")) or []) for name in names}
            self._asked_at = self._clock()
        return self._workers
