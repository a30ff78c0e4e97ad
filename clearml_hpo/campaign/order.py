"""When the studies of a campaign are opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from clearml_hpo.study_file import Member


class Order:
    """Data sets in their order: the first one's studies at once, the next one's where a resource would idle.

    A study whose template another one is just making known waits for that: one first run is enough.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        """``members`` are those that have not ended."""
        self._waiting = sorted(members, key=lambda member: member.rank)
        self._due: list[Member] = []

    @property
    def is_through(self) -> bool:
        """Whether all were opened."""
        return not (self._waiting or self._due)

    def next(
        self,
        resources: Iterable[str],
        runs_dry: Callable[[str], bool],
        beginning: Collection[str],
        template_of: Callable[[Member], str],
        *,
        nothing_is_open: bool,
    ) -> list[Member]:
        """The studies to open now.

        Args:
            runs_dry: whether a resource will idle soon.
            beginning: templates of open studies that have not come to launch trials.
            nothing_is_open: whether there is no open study, or none was opened yet.
        """
        if nothing_is_open and not self._due and self._waiting:
            first = self._waiting[0].rank
            self._move(lambda member: member.rank == first)
        for resource in resources:
            if runs_dry(resource) and not any(resource in member.resources for member in self._due):
                self._move_next_of(resource)
        opened: list[Member] = []
        taken = set(beginning)
        for member in list(self._due):
            template = template_of(member)
            if template not in taken:
                taken.add(template)
                self._due.remove(member)
                opened.append(member)
        return opened

    def _move_next_of(self, resource: str) -> None:
        """The studies of the next data set that has some for a resource become due."""
        rank = next((member.rank for member in self._waiting if resource in member.resources), None)
        if rank is not None:
            self._move(lambda member: member.rank == rank and resource in member.resources)

    def _move(self, is_due: Callable[[Member], bool]) -> None:
        self._due += [member for member in self._waiting if is_due(member)]
        self._waiting = [member for member in self._waiting if not is_due(member)]
