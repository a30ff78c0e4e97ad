"""Which point of the search space is tried next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from clearml_hpo.core.values import Params, Value
from clearml_hpo.search.learner import OptunaStudy

_DUPLICATES_IN_A_ROW = 20


class Points:
    """First what the user wants tried, then what the sampler proposes; a point that was tried is not run again.

    Attributes:
        asks: how often the sampler was asked.
        by_order: the trials that try, or have tried, what users ordered, by the order's name.
    """

    def __init__(self, study: OptunaStudy, tell_known: Callable[[int, int], None], *, rerun_duplicates: bool) -> None:
        """``tell_known(number, known)`` tells the study that ``number`` is as trial ``known``."""
        self.asks = 0
        self.by_order: dict[str, int] = {}
        self._study = study
        self._tell_known = tell_known
        self._rerun_duplicates = rerun_duplicates
        self._first: deque[tuple[Params, str]] = deque()
        self._tried: dict[object, int] = {}
        self._tried_of_space = 0
        self._wanted: set[int] = set()

    def enqueue(self, params: Params, order: str = "") -> None:
        """Has ``params`` tried before anything that the sampler proposes; by this order, if a user gave one."""
        self._first.append((params, order))

    def tried(self, number: int, params: Params) -> None:
        """Trial ``number`` has these parameters."""
        key = self._study.space.key(params)
        if key in self._tried:
            return
        self._tried[key] = number
        self._tried_of_space += self._study.space.contains(params)

    def forget(self, number: int, params: Params) -> None:
        """There is no trial ``number`` any more: its point may be proposed again."""
        key = self._study.space.key(params)
        if self._tried.get(key) == number:
            del self._tried[key]
            self._tried_of_space -= self._study.space.contains(params)

    def was_wanted(self, number: int) -> bool:
        """Whether the point of this trial was the user's."""
        return number in self._wanted

    def next(self, number: int) -> Mapping[str, Value] | None:
        """A point for trial ``number`` that was not tried yet; None if there is none left."""
        wanted = self.wanted(number)
        return self.proposed(number) if wanted is None else wanted

    def wanted(self, number: int) -> Mapping[str, Value] | None:
        """The next point that the user wants tried, for trial ``number``; None if there is none left."""
        while self._first:
            given, order = self._first.popleft()
            params, is_new = dict(given), self._is_new(given)
            if order:
                self.by_order[order] = number if is_new else self._tried[self._study.space.key(params)]
            if is_new:
                self._wanted.add(number)
                self._study.add(number, params)
                return params
        return None

    def proposed(self, number: int) -> Mapping[str, Value] | None:
        """What the sampler proposes for trial ``number``; None if every point was tried."""
        if not self._rerun_duplicates and self._tried_of_space >= self._study.points:
            return None
        for _ in range(_DUPLICATES_IN_A_ROW):
            self.asks += 1
            asked = self._study.ask(number)
            if self._is_new(asked):
                return asked
            self._tell_known(number, self._tried[self._study.space.key(asked)])
        return self._study.ask_at_random(number, self._is_new)

    def _is_new(self, params: Params) -> bool:
        return self._rerun_duplicates or self._study.space.key(params) not in self._tried
