"""Attempts that have no place in a queue yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler.placement import Placement, Places

_MOST_HELD = 8
_MOST_STRANDED = 100


@dataclass(frozen=True)
class Launch:
    """An attempt that is to be put in a queue.

    Attributes:
        queue: the one that it must go to; empty for any that its parameters may go to.
        task_id: its task, if it has been made.
        order: the user's by which the point is tried; empty if it was none.
        length, continues: those of ``Trial``.
    """

    number: int
    attempt: int
    params: Params
    queue: str = ""
    task_id: str = ""
    order: str = ""
    length: int = 0
    continues: str = ""

    @classmethod
    def of(cls, trial: Trial) -> Launch:
        """The attempt of a trial whose task has been made."""
        return cls(
            trial.number,
            trial.attempt,
            trial.params,
            task_id=trial.task_id,
            length=trial.length,
            continues=trial.continues,
        )

    @classmethod
    def after(cls, trial: Trial, queue: str = "") -> Launch:
        """The next attempt of a trial, which begins where this one did."""
        return cls(trial.number, trial.attempt + 1, trial.params, queue, length=trial.length, continues=trial.continues)


class LaunchQueue:
    """First come, first served, as far as there is room; at most one attempt of each trial."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._launches: dict[int, Launch] = {}

    def __iter__(self) -> Iterator[Launch]:
        return iter(tuple(self._launches.values()))

    def __len__(self) -> int:
        return len(self._launches)

    def __contains__(self, number: int) -> bool:
        return number in self._launches

    @property
    def new(self) -> list[Launch]:
        """The first attempts of new trials."""
        return [launch for launch in self if launch.attempt == 1 and not launch.task_id]

    def is_full(self, workers: Mapping[str, int]) -> bool:
        """Whether enough new trials wait.

        Few for a place where others run, as a point that waits knows ever less of what has ended; more for workers to
        come, or else they would keep those idle that are there.
        """
        new = self.new
        served = len(new) - sum(self._is_stranded(launch, workers) for launch in new)
        return served >= _MOST_HELD or len(new) >= _MOST_STRANDED

    def stranded(self, workers: Mapping[str, int]) -> int:
        """How many of those that wait may only go to queues that no worker serves."""
        return sum(self._is_stranded(launch, workers) for launch in self)

    def _is_stranded(self, launch: Launch, workers: Mapping[str, int]) -> bool:
        return not any(map(workers.get, self._placement.queues_for(launch.params)))

    def add(self, launch: Launch) -> None:
        """It is to be placed."""
        self._launches[launch.number] = launch

    def remove(self, number: int) -> Launch | None:
        """It is not to be placed any more; None if it was not here."""
        return self._launches.pop(number, None)

    def place_for(self, launch: Launch, room: Places) -> str | None:
        """A queue that it may go to and that has room; None if there is none."""
        is_bound = launch.queue and launch.queue not in room.gone
        return room.take((launch.queue,) if is_bound else self._placement.queues_for(launch.params))
