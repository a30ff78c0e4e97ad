"""The trials of a study: those that live, those that ended, and earlier attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.trial import Trial
from clearml_hpo.scheduler.endings import Ending

_ASK_AGAIN_S = 15.0
"""How long a worker that was asked to stop a trial has, before it is asked again."""


@dataclass
class AttemptMemo:
    """What the loop remembers of one attempt.

    Attributes:
        progress: changes with every report of what the pruner looks at.
        reported: the last step that was seen of it.
        running_since: when it began to run, by the loop's own clock.
        wish: how this side wishes it to end.
        is_ordered: whether a user has ordered its end: it is no sign of a fault.
        marked: what its user properties were made to say.
        asked_to_stop_at: when its worker was last asked to stop it, by the loop's own clock; None if it is to be asked.
    """

    progress: object = None
    reported: int = -1
    running_since: float | None = None
    wish: Ending | None = None
    is_ordered: bool = False
    marked: Mapping[str, str] | None = None
    asked_to_stop_at: float | None = None

    def runs(self, snapshot: TaskSnapshot, now: float) -> None:
        """It was seen running; for how long, the server's two times say, whatever its clock shows."""
        if self.running_since is None:
            ran_s = (snapshot.updated_at or 0.0) - (snapshot.started_at or 0.0) if snapshot.started_at else 0.0
            self.running_since = now - max(0.0, ran_s)
        # A start after the wish to stop wipes it out, and a worker that was asked may be gone.
        asked = self.asked_to_stop_at
        if asked is not None and (not snapshot.is_stopping or now - asked >= _ASK_AGAIN_S):
            self.asked_to_stop_at = None


class Roster:
    """Every trial by number with its latest attempt, and what is remembered of each attempt."""

    def __init__(self) -> None:
        self.earlier: list[Trial] = []
        self._trials: dict[int, Trial] = {}
        self._live: dict[int, Trial] = {}
        self._memos: dict[str, AttemptMemo] = {}

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

    def before(self, trial: Trial) -> Trial | None:
        """The attempt from whose checkpoint a trial goes on, if it is known."""
        ended = (each for each in reversed(self.earlier) if each.task_id == trial.continues)
        return next(ended, None) if trial.continues else None

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
        self._memos.pop(trial.task_id, None)

    def drop(self, trial: Trial) -> None:
        """There is no such trial any more."""
        self._live.pop(trial.number, None)
        self._trials.pop(trial.number, None)

    def memo(self, trial: Trial) -> AttemptMemo:
        """What is remembered of this attempt."""
        return self._memos.setdefault(trial.task_id, AttemptMemo())

    def forget(self, trial: Trial) -> None:
        """The attempt begins anew."""
        self._memos.pop(trial.task_id, None)

    def running_s(self, trial: Trial, now: float) -> float:
        """Seconds of running: by the server's clock if it has ended, else by our own, as the two may differ."""
        if trial.duration is not None:
            return max(0.0, trial.duration)
        since = self.memo(trial).running_since
        return 0.0 if since is None else now - since
