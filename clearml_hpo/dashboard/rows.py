"""The table of trials, as the page's script takes it: rows that have changed since a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearml_hpo.core.trial import Trial
from clearml_hpo.views.display import short_worker

_LONGEST_REASON = 300


class Rows:
    """The rows of one study, each with the version in which it last changed."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, dict[str, Any]]] = {}

    def take(self, trials: Sequence[Trial], version: int) -> None:
        """Takes the trials as they are in ``version``."""
        for trial in trials:
            row = self._row(trial)
            if self._rows.get(trial.number, (0, None))[1] != row:
                self._rows[trial.number] = version, row
        for number in self._rows.keys() - {trial.number for trial in trials}:
            del self._rows[number]

    def changed(self, since: int) -> list[dict[str, Any]]:
        """The rows that have changed after version ``since``; all of them after 0."""
        return [row for version, row in [*self._rows.values()] if version > since]

    @property
    def count(self) -> int:
        """How many trials there are."""
        return len(self._rows)

    def _row(self, trial: Trial) -> dict[str, Any]:
        """What is not there is left out, so that a row of a trial that waits is short."""
        cells = {
            "number": trial.number,
            "attempt": trial.attempt,
            "state": trial.state.value,
            "values": [*trial.values],
            "params": dict(trial.params),
            "iteration": trial.iteration or None,
            "queue": trial.queue,
            "worker": short_worker(trial.worker),
            "started": trial.started_at,
            "ended": trial.ended_at,
            "reason": trial.reason[:_LONGEST_REASON],
            "broken": None if trial.is_feasible else True,
            "task": trial.task_id,
        }
        return {name: value for name, value in cells.items() if value not in (None, "", [])}
