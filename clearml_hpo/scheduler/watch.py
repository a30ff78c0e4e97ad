"""What the loop remembers of each attempt beside the trial itself, and how long nothing was heard of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.scheduler.endings import Ending

_SHORT_S = 30.0
_LONG = 5.0
_ASK_AGAIN_S = 15.0


@dataclass
class Watch:
    """What the loop remembers of one attempt.

    Attributes:
        progress: changes with every report of what the pruner looks at.
        reported: the last step that was seen of it.
        running_since: when it began to run, by the loop's own clock.
        wish: how this side wishes it to end.
        marked: what its user properties were made to say.
        asked_to_stop_at: when its worker was last asked to stop it, by the loop's own clock; None if it is to be asked.
    """

    progress: object = None
    reported: int = -1
    running_since: float | None = None
    wish: Ending | None = None
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


class Pulse:
    """For how long nothing was heard of each task, while somebody listened."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[object, float]] = {}
        self._listened_at: float | None = None
        self._gap_s = 0.0

    def listen(self, now: float) -> None:
        """A round begins.

        If it is much later than rounds were apart so far, the server was out of reach or this machine asleep; the
        workers too may need a moment to be heard again, so that all of them count as just heard.
        """
        gap_s = 0.0 if self._listened_at is None else now - self._listened_at
        if gap_s > max(_SHORT_S, _LONG * self._gap_s):
            self._heard = {task_id: (sign, now) for task_id, (sign, _) in self._heard.items()}
        self._listened_at, self._gap_s = now, gap_s

    def silent_s(self, task_id: str, sign: object, now: float) -> float:
        """Seconds since the sign of life of a task was another one than ``sign``."""
        before, since = self._heard.get(task_id, (None, now))
        if before != sign:
            since = now
        self._heard[task_id] = (sign, since)
        return now - since

    def forget_others(self, task_ids: Collection[str]) -> None:
        """Only these are listened to from now on."""
        self._heard = {task_id: heard for task_id, heard in self._heard.items() if task_id in task_ids}


class Silence:
    """Which trials have put out nothing for a while: no line on the console, no scalar.

    The scalars of the goal come with each poll. Only of a trial whose goal's scalars do not change, console and other
    scalars are looked at, twice within the time given. So a trial that hangs is found after that time to twice of it.
    """

    def __init__(self, after_s: float | None, look: Callable[[str], object]) -> None:
        """``look`` tells, by the task's id, what it has put out so far; None as ``after_s`` finds no trial."""
        self._after_s = after_s
        self._look = look
        self._pulse = Pulse()
        self._seen: dict[str, tuple[object, float]] = {}

    def listen(self, now: float, task_ids: Collection[str]) -> None:
        """A round begins, of these tasks."""
        self._pulse.listen(now)
        self._pulse.forget_others(task_ids)
        self._seen = {task_id: seen for task_id, seen in self._seen.items() if task_id in task_ids}

    def __str__(self) -> str:
        return f"no line and no scalar for {self._after_s:g} s (silent_after)"

    def has_come(self, task_id: str, sign: object, now: float) -> bool:
        """True if nothing was put out for too long; ``sign`` changes with the goal's scalars."""
        if self._after_s is None:
            return False
        seen, at = self._seen.get(task_id, (None, -math.inf))
        silent_s = self._pulse.silent_s(task_id, (sign, seen), now)
        half = self._after_s / 2
        if silent_s >= half and (now - at >= half or silent_s >= self._after_s):  # never by an old look alone
            self._seen[task_id] = seen, _ = self._look(task_id), now
            silent_s = self._pulse.silent_s(task_id, (sign, seen), now)
        return silent_s >= self._after_s
