"""Plots and images by iteration: pages of iterations, and the way from one sample to the next."""

from __future__ import annotations

import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import to_json

Event = dict[str, Any]
_MOST_READERS = 10_000
_LAST = 2**63 - 1


@dataclass(frozen=True)
class Subject:
    """Whose samples of which kind: all of them, those of a metric, or of some of its variants."""

    owner: str
    kind: str
    metric: str | None = None
    variants: Sequence[str] = ()

    @property
    def where(self) -> str:
        """The condition of a query for them."""
        clauses = ["owner = ?", "type = ?"]
        if self.metric is not None:
            clauses.append("metric = ?")
        if self.variants:
            clauses.append("variant IN (SELECT value FROM json_each(?))")
        return " AND ".join(clauses)

    @property
    def parameters(self) -> list[Any]:
        """The parameters of that condition."""
        named = [self.metric] if self.metric is not None else []
        return [self.owner, self.kind, *named, *([to_json(list(self.variants))] if self.variants else [])]


class Places:
    """Where readers of samples are, by scroll id: an id stays the same while its reader goes on.

    They are kept in memory. Of more than some thousands, those that were not used for the longest time are forgotten.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, scroll_id: str | None) -> Any:
        """The place of a scroll id, or None for one that is not known."""
        with self._lock:
            return self._known.get(scroll_id or "")

    def keep(self, scroll_id: str | None, place: Any) -> str:
        """Keeps a place; returns its scroll id, which is a new one for one that is not known."""
        with self._lock:
            id_ = scroll_id if scroll_id and scroll_id in self._known else uuid.uuid4().hex
            self._known[id_] = place
            self._known.move_to_end(id_)
            while len(self._known) > _MOST_READERS:
                self._known.popitem(last=False)
            return id_


class Samples:
    """Reads plots and images.

    Attributes:
        places: where its readers are.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.places = Places()

    def iterations(
        self, subject: Subject, number: int, *, below: int | None = None, above: int | None = None
    ) -> list[int]:
        """At most so many iterations, the latest first: the last ones below one, or those next above another."""
        order, sign, bound = ("DESC", "<", below) if above is None else ("ASC", ">", above)
        rows = self._db.rows(
            f"SELECT DISTINCT iter FROM reports WHERE {subject.where} AND iter {sign} ? ORDER BY iter {order} LIMIT ?",
            [*subject.parameters, _LAST if bound is None else bound, number],
        )
        return sorted((row["iter"] for row in rows), reverse=True)

    def at(self, subject: Subject, iteration: int) -> list[Event]:
        """The samples of one iteration."""
        return self._read(f"{subject.where} AND iter = ? ORDER BY metric, variant", [*subject.parameters, iteration])

    def last(self, subject: Subject, iteration: int | None = None) -> int | None:
        """The last iteration with a sample, of all or up to one."""
        found = self.iterations(subject, 1, below=None if iteration is None else min(iteration, _LAST - 1) + 1)
        return found[0] if found else None

    def span(self, subject: Subject) -> tuple[int | None, int | None]:
        """The first and the last iteration, or None and None where there is no sample."""
        [row] = self._db.rows(f"SELECT min(iter), max(iter) FROM reports WHERE {subject.where}", subject.parameters)
        return row[0], row[1]

    def beside(self, subject: Subject, keys: Sequence[str], place: Sequence[Any], *, earlier: bool) -> Event | None:
        """The sample next to a place in the order of ``keys`` (columns), before or after it."""
        sign, direction = ("<", " DESC") if earlier else (">", "")
        marks = ", ".join("?" * len(keys))
        order = ", ".join(f"{key}{direction}" for key in keys)
        found = self._read(
            f"{subject.where} AND ({', '.join(keys)}) {sign} ({marks}) ORDER BY {order} LIMIT 1",
            [*subject.parameters, *place],
        )
        return found[0] if found else None

    def _read(self, rest: str, parameters: Sequence[Any]) -> list[Event]:
        return [json.loads(row["body"]) for row in self._db.rows(f"SELECT body FROM reports WHERE {rest}", parameters)]
