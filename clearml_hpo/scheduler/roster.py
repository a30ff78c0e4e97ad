"""The trials of a study: those that live, those that ended, and earlier attempts."""

from __future__ import annotations

from collections.abc import Iterable

from clearml_hpo.core.trial import Trial
from clearml_hpo.scheduler.watch import Watch


class Roster:
    """Every trial by number with its latest attempt, and what is remembered of each attempt."""

    def __init__(self) -> None:
        self.earlier: list[Trial] = []
        self._trials: dict[int, Trial] = {}
        self._live: dict[int, Trial] = {}
        self._watches: dict[str, Watch] = {}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number."""
        return tuple(self._trials[number] for number in sorted(self._trials))

    @property
    def latest(self) -> Iterable[Trial]:
        """All trials, in no order."""
        return self._trials.values()

    @property
    def live(self) -> tuple[Trial, ...]:
        """Those that wait or run."""
        return tuple(self._live.values())

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def __contains__(self, number: int) -> bool:
        return number in self._trials

    def __len__(self) -> int:
        return len(self._trials)

    def get(self, number: int) -> Trial | None:
        """The trial of this number, if there is one."""
        return self._trials.get(number)

    def keep(self, trial: Trial) -> None:
        """It lives; an attempt before it, which it takes the place of, is an earlier one."""
        before = self._trials.get(trial.number)
        if before is not None and before.task_id != trial.task_id:
            self.earlier.append(before)
        self._trials[trial.number] = self._live[trial.number] = trial

    def settle(self, trial: Trial) -> None:
        """It has ended."""
        self._live.pop(trial.number, None)
        self._trials[trial.number] = trial
        self._watches.pop(trial.task_id, None)

    def watch(self, trial: Trial) -> Watch:
        """What is remembered of this attempt."""
        return self._watches.setdefault(trial.task_id, Watch())

    def forget(self, trial: Trial) -> None:
        """The attempt begins anew."""
        self._watches.pop(trial.task_id, None)
