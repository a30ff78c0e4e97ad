"""Which queue a trial goes to, and how much room there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Params, Value


@dataclass(frozen=True)
class Rule:
    """Queues, in order of preference, for trials whose parameters have one of the given values each."""

    when: Mapping[str, tuple[Value, ...]]
    queues: tuple[str, ...]

    def fits(self, params: Params) -> bool:
        """Whether it is a rule for these parameters."""
        return all(params.get(name) in values for name, values in self.when.items())


@dataclass(frozen=True)
class Placement:
    """Where trials go, and how many at once.

    Attributes:
        queues: in order of preference, for trials that no rule is for.
        rules: the first that fits counts.
        concurrency: trials that may run at once, in all; None is one per worker.
        per_queue: the same for single queues.
        prefetch: trials that wait in line, per worker, beyond those that run.
        retry_queues: queues that only trials which are run again go to.
        outside: queues from which trials are handed out, one for each that asks: what asks counts as a worker, nothing
            waits in line, and whoever hands trials out judges and watches them.
    """

    queues: tuple[str, ...] = ("default",)
    rules: tuple[Rule, ...] = ()
    concurrency: int | None = None
    per_queue: Mapping[str, int] = field(default_factory=dict)
    prefetch: int = 1
    retry_queues: tuple[str, ...] = ()
    outside: frozenset[str] = frozenset()

    @property
    def all_queues(self) -> tuple[str, ...]:
        """All that are named, each once."""
        of_rules = [queue for rule in self.rules for queue in rule.queues]
        return tuple(dict.fromkeys([*self.queues, *of_rules, *self.retry_queues]))

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The queues that a new trial may have to choose from."""
        return (self.queues, *(rule.queues for rule in self.rules))

    def queues_for(self, params: Params) -> tuple[str, ...]:
        """The queues for a trial, in order of preference."""
        return next((rule.queues for rule in self.rules if rule.fits(params)), self.queues)


class Places(Protocol):
    """Where more trials can go now; ``Room`` for a study by itself, ``campaign.Share`` for one among others.

    Attributes:
        gone: queues that were deleted.
    """

    gone: Collection[str]

    @property
    def is_left(self) -> bool:
        """Whether there is a new trial that could be placed."""

    def take(self, queues: Sequence[str]) -> str | None:
        """A place in one of ``queues``, which is taken from now on; None if there is none."""


class Room:
    """How many more trials each queue takes, beside those that live."""

    def __init__(
        self, placement: Placement, workers: Mapping[str, int], live: Iterable[Trial], gone: Collection[str] = ()
    ) -> None:
        """A queue that joins ``gone`` later counts too."""
        self._placement = placement
        self.gone = gone
        self._workers = workers
        taken = Counter(trial.queue for trial in live)
        self._free = {queue: self._size(queue) - taken[queue] for queue in placement.all_queues}
        self._in_all = self._size_in_all() - sum(taken.values())

    @property
    def is_left(self) -> bool:
        """Whether there is a new trial that could be placed."""
        return any(self._place_in(queues) for queues in self._placement.choices)

    def take(self, queues: Sequence[str]) -> str | None:
        """A place in the first of ``queues`` that has room; those without workers count only if no other has any."""
        chosen = self._place_in(queues)
        if chosen is not None:
            self._free[chosen] -= 1
            self._in_all -= 1
        return chosen

    def _place_in(self, queues: Sequence[str]) -> str | None:
        if self._in_all <= 0:
            return None
        there = [queue for queue in queues if queue not in self.gone]
        served = [queue for queue in there if self._workers.get(queue)]
        return next((queue for queue in served or there if self._free.get(queue, 0) > 0), None)

    def _size(self, queue: str) -> int:
        workers = self._workers.get(queue, 0)
        if queue in self._placement.outside:
            return min(workers, self._placement.per_queue.get(queue, workers))
        at_once = self._placement.per_queue.get(queue) or workers or self._without_workers
        return at_once + self._waiting(workers, at_once)

    def _size_in_all(self) -> int:
        at_once = self._placement.concurrency
        if at_once is None:
            return sum(self._size(queue) for queue in self._placement.all_queues if queue not in self.gone)
        in_line = [count for queue, count in self._workers.items() if queue not in self._placement.outside]
        return at_once + self._waiting(sum(in_line), at_once)

    @property
    def _without_workers(self) -> int:
        """How many trials wait in a queue that has no worker yet: what starts workers counts them.

        Of several queues one each, as it is not known which will have workers.
        """
        return (self._placement.concurrency or 1) if len(self._placement.all_queues) == 1 else 1

    def _waiting(self, workers: int, at_once: int) -> int:
        # More workers than trials allowed at once: what waits would run beyond that number, so nothing may wait.
        return self._placement.prefetch * workers if workers <= at_once else 0
