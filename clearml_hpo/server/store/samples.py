"""Plots and images by iteration: pages of iterations, and the way from one sample to the next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import to_json

Event = dict[str, Any]


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


class Samples:
    """Reads plots and images."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def iterations(self, subject: Subject, offset: int, number: int) -> list[dict[str, Any]]:
        """``[{"iter", "events"}]``, the latest iteration first, ``offset`` iterations left out."""
        rows = self._db.rows(
            f"SELECT DISTINCT iter FROM reports WHERE {subject.where} ORDER BY iter DESC LIMIT ? OFFSET ?",
            [*subject.parameters, number, offset],
        )
        return [{"iter": row["iter"], "events": self.at(subject, row["iter"])} for row in rows]

    def at(self, subject: Subject, iteration: int) -> list[Event]:
        """The samples of one iteration."""
        return self._read(f"{subject.where} AND iter = ? ORDER BY metric, variant", [*subject.parameters, iteration])

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
