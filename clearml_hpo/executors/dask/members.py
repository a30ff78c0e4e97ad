"""The workers of a Dask cluster, as one study sees them: who is there, joins and leaves, who can run its trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from distributed import Client

from clearml_hpo.core.notes import Note
from clearml_hpo.executors.dask import trials
from clearml_hpo.executors.dask.trials import RESOURCE

_ANSWER_S = 10.0
"""How long the scheduler may take to answer."""
_ACCEPT_S = 60.0
"""How long a worker may take to prepare; one that has not is asked again."""
_ASK_AGAIN_S = 60.0
"""How often a worker is asked again that could not run trials."""
_MOST_NAMED = 3


@dataclass(frozen=True)
class SeenWorker:
    """A Dask worker, as the scheduler tells of it.

    Attributes:
        threads: how many tickets it can run at once.
        resources: what it has in all, by name.
        is_busy: whether it runs something.
    """

    address: str
    name: str
    threads: int
    resources: Mapping[str, float] = field(default_factory=dict)
    is_busy: bool = False

    def room_for(self, needs: Mapping[str, float]) -> int:
        """How many trials with these needs it can run at once."""
        wanted = {RESOURCE: 1.0, **needs}
        return int(min([self.threads, *(self.resources.get(name, 0) // amount for name, amount in wanted.items())]))


class Members:
    """The workers of a cluster.

    Attributes:
        seen: those that the scheduler knew at the last look, by address.
    """

    def __init__(self, study_id: str, on_note: Callable[[str], None]) -> None:
        """``on_note`` hears who joins, who leaves, and why trials do not go to a worker."""
        self.seen: Mapping[str, SeenWorker] = {}
        self._study_id = study_id
        self._on_note = on_note
        self._is_first = True
        self._problems: dict[str, str] = {}  # of those that were asked; empty for those that run trials
        self._ask_again_at = 0.0

    def clear(self) -> None:
        """The scheduler is gone: nobody is there, and all are asked again."""
        self.seen, self._problems = {}, {}

    def room_for(self, needs: Mapping[str, float]) -> int:
        """How many trials with these needs can run at once."""
        return sum(worker.room_for(needs) for worker in self.seen.values())

    def look(self, client: Client) -> None:
        """Sees who is there; has new workers prepare for tickets.

        Raises:
            OSError: the scheduler does not answer.
            TimeoutError: nor refuses.
        """
        before, self.seen = self.seen, _seen_by(client)
        self._say_changes(client, before)
        self._problems = {address: why for address, why in self._problems.items() if address in self.seen}
        new = self.seen.keys() - self._problems.keys()
        if time.monotonic() >= self._ask_again_at:
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_S
            new |= {address for address, why in self._problems.items() if why}
        if new:
            self._accept(client, new)
            self.seen = _seen_by(client)

    def _accept(self, client: Client, new: Collection[str]) -> None:
        """Has workers take tickets; says which cannot, and which can after all."""
        call = partial(client.run, workers=[*new], on_error="return", callback_timeout=_ACCEPT_S)
        try:
            answers = call(trials.accept, self._study_id, RESOURCE)
        except TimeoutError:
            return
        changed: dict[str, list[str]] = {}
        for address, answer in answers.items():
            failed = f"it cannot run clearml-hpo: {short_text(answer)}"
            problem = failed if isinstance(answer, Exception) else str(answer)
            if problem != self._problems.get(address, ""):
                changed.setdefault(problem, []).append(self.seen[address].name)
            self._problems[address] = problem
        for problem, names in changed.items():
            text = f"no trial goes to {_listed(names)}: {problem}" if problem else f"trials go to {_listed(names)} now"
            self._on_note(Note(text, level="warning" if problem else "info"))

    def _say_changes(self, client: Client, before: Mapping[str, SeenWorker]) -> None:
        if self._is_first:
            self._is_first = False
            at_once = sum(worker.threads for worker in self.seen.values())
            there = f"{_count(len(self.seen))}, {at_once} trial{'' if at_once == 1 else 's'} at once"
            dashboard = f", dashboard {client.dashboard_link}" if client.dashboard_link else ""
            self._on_note(Note(f"Dask at {_scheduler(client).address}: {there}{dashboard}"))
            return
        joined = self.seen.keys() - before.keys()
        left = [worker for address, worker in before.items() if address not in self.seen]
        if not joined and not left:
            return
        busy = [worker.name for worker in left if worker.is_busy]
        parts = [f"{_count(len(joined))} joined"] if joined else []
        parts += [f"{_count(len(left) - len(busy))} left"] if len(left) > len(busy) else []
        parts += [f"{_listed(busy)} left; what ran there is run again unless it ends well"] if busy else []
        text = f"Dask: {', '.join(parts)}; {_count(len(self.seen))} there"
        self._on_note(Note(text, level="warning" if busy else "info"))


def short_text(error: object) -> str:
    """The first line of an error."""
    return str(error).partition("\n")[0] or type(error).__name__


def _scheduler(client: Client) -> Any:
    """The connection to it, which an open client has."""
    return client.scheduler


def _seen_by(client: Client) -> dict[str, SeenWorker]:
    info = client.sync(_scheduler(client).identity, n_workers=-1, callback_timeout=_ANSWER_S)
    return {address: _seen(address, about) for address, about in info["workers"].items()}


def _seen(address: str, about: Mapping[str, Any]) -> SeenWorker:
    running = ((about.get("metrics") or {}).get("task_counts") or {}).get("executing")
    resources = dict(about.get("resources") or {})
    return SeenWorker(address, str(about["name"]), int(about["nthreads"]), resources, bool(running))


def _count(number: int) -> str:
    return f"{number} worker{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    named = ", ".join(sorted(names)[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"Dask worker{'' if len(names) == 1 else 's'} {named}"
