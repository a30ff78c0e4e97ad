"""For how long nothing was heard of running trials, and which of them hang."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

_SHORT_S = 30.0
"""A pause between two rounds up to this long is no outage."""

_LONG = 5.0


class Heartbeats:
    """For how long nothing was heard of each task while the controller listened."""

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


class HangDetector:
    """Which trials have put out nothing for a while: no line on the console, no scalar.

    The scalars of the goal come with each poll. Only of a trial whose goal's scalars do not change, console and other
    scalars are looked at, twice within the time given. So a trial that hangs is found after that time to twice of it.
    """

    def __init__(self, after_s: float | None, look: Callable[[str], object]) -> None:
        """``look`` tells, by the task's id, what it has put out so far; None as ``after_s`` finds no trial."""
        self._after_s = after_s
        self._look = look
        self._heartbeats = Heartbeats()
        self._seen: dict[str, tuple[object, float]] = {}

    def listen(self, now: float, task_ids: Collection[str]) -> None:
        """A round begins, of these tasks."""
        self._heartbeats.listen(now)
        self._heartbeats.forget_others(task_ids)
        self._seen = {task_id: seen for task_id, seen in self._seen.items() if task_id in task_ids}

    def __str__(self) -> str:
        return f"no line and no scalar for {self._after_s:g} s (silent_after)"

    def hangs(self, task_id: str, sign: object, now: float) -> bool:
        """True if nothing was put out for too long; ``sign`` changes with the goal's scalars."""
        if self._after_s is None:
            return False
        seen, at = self._seen.get(task_id, (None, -math.inf))
        silent_s = self._heartbeats.silent_s(task_id, (sign, seen), now)
        half = self._after_s / 2
        if silent_s >= half and (now - at >= half or silent_s >= self._after_s):  # never by an old look alone
            self._seen[task_id] = seen, _ = self._look(task_id), now
            silent_s = self._heartbeats.silent_s(task_id, (sign, seen), now)
        return silent_s >= self._after_s
