"""Which study may put its next trial where: the resources of a campaign, shared among the studies that are open.

A resource takes so many trials at once, and a few more wait in its queue so that it never idles between two. A place is
given to the study whose turn it is: of those that were refused one lately, first those of earlier data sets, then the
one that has had the least time on resources for its weight. One that would idle is given to the study that asks first.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Placement, Places

_UNKNOWN_S = 1.0
"""Time that a trial is assumed to take as long as none has ended."""


@dataclass(frozen=True)
class Resource:
    """What runs trials.

    Attributes:
        queue: name of the queue that it alone serves.
        takes: how many trials at once; None is as many as the queue has workers.
    """

    name: str
    queue: str
    takes: int | None = 1


class Resources:
    """All resources of a campaign; used by the threads of all its studies."""

    def __init__(
        self,
        resources: Iterable[Resource],
        *,
        prefetch: int = 1,
        lately_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """No study uses them yet.

        Args:
            prefetch: trials that wait, for each that a resource takes at once.
            lately_s: for how long a study counts as one that wants a place, after it has asked.
            clock: seconds since the epoch, as trials have them.
        """
        self._all = {resource.name: resource for resource in resources}
        self._prefetch = prefetch
        self._lately_s = lately_s
        self._clock = clock
        self._lock = threading.RLock()
        self._shares: list[Share] = []
        self._workers: dict[str, int] = {}

    def join(self, names: Sequence[str], *, rank: int, weight: float = 1.0) -> Share:
        """A study is opened that may use these resources; ``rank`` is its data set's, 0 the first."""
        with self._lock:
            by_load = sorted((self._all[name] for name in names), key=lambda r: (not self._takes(r), self._live_on(r)))
            share = Share(self, tuple(by_load), rank, weight)
            self._shares.append(share)
            return share

    def live_on(self, name: str) -> int:
        """How many trials wait for a resource or run on it, as far as their studies have seen."""
        with self._lock:
            return self._live_on(self._all[name])

    def runs_dry(self, name: str) -> bool:
        """Whether a resource will idle once its trials have ended: no study that may use it wants more places."""
        with self._lock:
            return not any(
                self._all[name] in share.resources and share.wants(name)
                for share in self._shares
                if not share.is_ending
            )

    # --- what shares ask, with the lock held -------------------------------------------------------------------------

    def _live_on(self, resource: Resource) -> int:
        return sum(share.live[resource.name] for share in self._shares)

    def _takes(self, resource: Resource) -> int:
        return self._workers.get(resource.queue, 0) if resource.takes is None else resource.takes

    def _gives(self, resource: Resource, share: Share) -> bool:
        """Whether the next place on a resource is this study's."""
        live, takes = self._live_on(resource), self._takes(resource)
        if live >= max(1, takes * (1 + self._prefetch)):
            return False
        # Without places in line there is no other moment at which turns could be kept.
        would_idle = live < takes and self._prefetch > 0
        return would_idle or self._is_turn_of(share, resource)

    def _is_turn_of(self, share: Share, resource: Resource) -> bool:
        now, typical_s = self._clock(), self._typical_s()
        others = [s for s in self._shares if s is not share and resource in s.resources]
        waiting = [s for s in others if now - s.refused_at.get(resource.name, -self._lately_s) < self._lately_s]
        mine = share.claim(typical_s)
        return all(mine <= other.claim(typical_s) for other in waiting)

    def _typical_s(self) -> float:
        ended = sum(share.ended for share in self._shares)
        return sum(share.ended_s for share in self._shares) / ended if ended else _UNKNOWN_S

    def _leave(self, share: Share) -> None:
        if share in self._shares:
            self._shares.remove(share)


class Share:
    """One study's part of the resources. Its :meth:`room` is what the loop takes for the policy's ``room``.

    Attributes:
        resources: that it may use; at the beginning the first one is expected to be used next.
        is_ending: whether it will want no more places soon.
        live: its trials by resource.
        has_begun: whether it has asked for places at all.
        refused_at: when it was last refused a place, by resource.
        ended: how many of its trials have ended, and
        ended_s: seconds that they took, together.
    """

    def __init__(self, pool: Resources, resources: tuple[Resource, ...], rank: int, weight: float) -> None:
        self.resources = resources
        self.is_ending = False
        self.live: Counter[str] = Counter({resources[0].name: 1})  # the first run of a new template
        self.refused_at: dict[str, float] = {}
        self.ended = 0
        self.ended_s = 0.0
        self.has_begun = False
        self._pool = pool
        self._rank = rank
        self._weight = weight
        self._asked_at: dict[str, float] = {}
        self._stepped_at = 0.0
        self._charged: set[str] = set()
        self._running: dict[str, float] = {}
        self._queued = 0

    @property
    def queues(self) -> tuple[str, ...]:
        """Of its resources, the one with the fewest trials first."""
        return tuple(resource.queue for resource in self.resources)

    def room(
        self, placement: Placement, workers: Mapping[str, int], live: Iterable[Trial], gone: Collection[str]
    ) -> Places:
        """Where the study can put more trials beside those that are ``live``."""
        names = {resource.queue: resource.name for resource in self.resources}
        trials = [trial for trial in live if trial.queue in names]
        with self._pool._lock:
            self.has_begun = True
            self._stepped_at = self._pool._clock()
            self.live = Counter(names[trial.queue] for trial in trials)
            self._running = {
                trial.task_id: trial.started_at
                for trial in trials
                if trial.state is TrialState.RUNNING and trial.started_at is not None
            }
            self._queued = len(trials) - len(self._running)
            self._pool._workers.update(workers)
        at_most = placement.concurrency
        return _Room(self, gone, None if at_most is None else at_most - len(trials))

    def charge(self, trials: Iterable[Trial]) -> None:
        """Counts the time of trials that have ended; each counts once."""
        with self._pool._lock:
            for trial in trials:
                if trial.duration is not None and trial.task_id not in self._charged:
                    self._charged.add(trial.task_id)
                    self.ended += 1
                    self.ended_s += trial.duration

    def leave(self) -> None:
        """The study has ended."""
        with self._pool._lock:
            self._pool._leave(self)

    def wants(self, name: str) -> bool:
        """Whether it has asked for places on a resource shortly before its last step, or has not come to ask.

        Not before now: in an outage of the server no study comes to ask, and all want places as before.
        """
        lately = self._stepped_at - self._pool._lately_s
        return not self.has_begun or self._asked_at.get(name, lately) > lately

    def claim(self, typical_s: float) -> tuple[int, float]:
        """The smaller, the sooner it is its turn: its data set's rank, then its time on resources by its weight.

        What waits counts with the time that its trials have taken, or else ``typical_s``.
        """
        now = self._pool._clock()
        mean_s = self.ended_s / self.ended if self.ended else typical_s
        running = sum(max(0.0, now - started) for started in self._running.values())
        return self._rank, (self.ended_s + running + self._queued * mean_s) / self._weight

    def _note_answers(self, asked: Sequence[Resource], given: Sequence[Resource], now: float) -> None:
        for resource in asked:
            self._asked_at[resource.name] = now
            if resource in given:
                self.refused_at.pop(resource.name, None)
            else:
                self.refused_at[resource.name] = now

    def find(self, queues: Sequence[str], gone: Collection[str], *, take: bool) -> str | None:
        """The queue with the fewest trials for its size where the next place is this study's."""
        pool = self._pool
        with pool._lock:
            now = pool._clock()
            asked = [r for r in self.resources if r.queue in queues and r.queue not in gone]
            is_served = any(pool._takes(resource) for resource in asked)  # else a trial waits where a worker may come
            given = [r for r in asked if pool._gives(r, self) and (pool._takes(r) or not is_served)]
            self._note_answers(asked, given, now)
            if not given:
                return None
            chosen = min(given, key=lambda r: pool._live_on(r) / max(1, pool._takes(r)))
            if take:
                self.live[chosen.name] += 1
                self._queued += 1
            return chosen.queue


class _Room:
    """What a study is given in one step."""

    def __init__(self, share: Share, gone: Collection[str], left: int | None) -> None:
        self.gone = gone
        self._share = share
        self._left = left

    @property
    def is_left(self) -> bool:
        """Whether the next place somewhere is this study's."""
        return self._has_left and self._share.find(self._share.queues, self.gone, take=False) is not None

    def take(self, queues: Sequence[str]) -> str | None:
        """Takes a place in one of ``queues``."""
        queue = self._share.find(queues, self.gone, take=True) if self._has_left else None
        if queue is not None and self._left is not None:
            self._left -= 1
        return queue

    @property
    def _has_left(self) -> bool:
        return self._left is None or self._left > 0
