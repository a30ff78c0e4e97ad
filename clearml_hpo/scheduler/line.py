"""Attempts that have no place in a queue yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clearml_hpo.scheduler.placement import Placement, Room
from clearml_hpo.search_space import Params


@dataclass(frozen=True)
class Launch:
    """An attempt that is to be put in a queue.

    Attributes:
        queue: the one that it must go to; empty for any that its parameters may go to.
        task_id: its task, if it has been made.
    """

    number: int
    attempt: int
    params: Params
    queue: str = ""
    task_id: str = ""


class Line:
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
    def new(self) -> int:
        """How many are the first attempt of a new trial."""
        return sum(launch.attempt == 1 and not launch.task_id for launch in self)

    def join(self, launch: Launch) -> None:
        """It is to be placed."""
        self._launches[launch.number] = launch

    def leave(self, number: int) -> Launch | None:
        """It is not to be placed any more; None if it was not here."""
        return self._launches.pop(number, None)

    def place_for(self, launch: Launch, room: Room) -> str | None:
        """A queue that it may go to and that has room; None if there is none."""
        return room.take((launch.queue,) if launch.queue else self._placement.queues_for(launch.params))
