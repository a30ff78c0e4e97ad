"""What has changed of a study's trials, for whoever follows it: the newest state of each, in the order of the changes.

A follower names the last change that it knows and gets all trials that have changed since, however long ago that was:
states in between are left out, so that a feed is never larger than its study. Numbers grow from one feed of a study to
the next, also of another process: they begin with the clock, in milliseconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from clearml_hpo.core.trial import Trial


@dataclass(frozen=True)
class Change:
    """A trial as it is since change ``seq``; None if it was withdrawn before anybody had it."""

    seq: int
    number: int
    trial: Trial | None


class Feed:
    """The loop's thread tells it what it sees; any thread may read."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """``clock``: seconds since 1970."""
        self._lock = threading.Lock()
        self._seq = int(1000 * clock())
        self._changes: dict[int, Change] = {}  # the newest last
        self._wakers: list[Callable[[], None]] = []

    def see(self, trials: Sequence[Trial]) -> None:
        """These are the study's trials now; followers are woken if one has changed."""
        with self._lock:
            before = self._seq
            for trial in trials:
                known = self._changes.get(trial.number)
                if known is None or (known.trial is not trial and known.trial != trial):
                    self._note(trial.number, trial)
            if sum(change.trial is not None for change in self._changes.values()) > len(trials):
                for number in self._changes.keys() - {trial.number for trial in trials}:
                    if self._changes[number].trial is not None:
                        self._note(number, None)
            wakers = [*self._wakers] if self._seq != before else []
        for wake in wakers:
            wake()

    def after(self, seq: int) -> list[Change]:
        """What has changed after ``seq``, in order; all if ``seq`` is none of a feed of this study."""
        with self._lock:
            seq = seq if seq <= self._seq else 0
            found = []
            for change in reversed(self._changes.values()):
                if change.seq <= seq:
                    break
                found.append(change)
        return found[::-1]

    @property
    def is_followed(self) -> bool:
        """Whether somebody is woken."""
        return bool(self._wakers)

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Calls ``wake``, in some thread, after each change."""
        with self._lock:
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)

    def _note(self, number: int, trial: Trial | None) -> None:
        self._seq += 1
        self._changes.pop(number, None)
        self._changes[number] = Change(self._seq, number, trial)
