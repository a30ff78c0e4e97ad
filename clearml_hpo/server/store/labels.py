"""Tags and owners of many documents at once."""

from __future__ import annotations

import json
from collections.abc import Sequence

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import to_json

_IN = "IN (SELECT value FROM json_each(?))"
# Tables whose documents say who changed them, and when.
_CHANGED = frozenset(("tasks", "models"))


class Labels:
    """Changes of tasks, models or projects, by the name of their table; all of some documents or none."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock

    def tag(self, table: str, ids: Sequence[str], added: Sequence[str], removed: Sequence[str]) -> int | None:
        """Adds tags that are not there, and then removes some; returns how often it wrote, None if ids are unknown."""
        with self._db.transaction():
            rows = self._db.rows(f"SELECT id, tags FROM {table} WHERE id {_IN}", (to_json(list(ids)),))
            if len(rows) < len(ids):
                return None
            for row in rows:
                there = json.loads(row["tags"])
                tags = [*there, *(tag for tag in added if tag not in there)]
                self._write(table, row["id"], "tags", to_json(sorted(tag for tag in tags if tag not in removed)))
        return len(ids) * (bool(added) + bool(removed))

    def give(self, table: str, ids: Sequence[str], owner: str, other: str) -> bool:
        """Makes documents of one company those of another; whether all were the first one's."""
        with self._db.transaction():
            rows = self._db.rows(f"SELECT id FROM {table} WHERE company = ? AND id {_IN}", (owner, to_json(list(ids))))
            if len(rows) < len(ids):
                return False
            for id_ in ids:
                self._write(table, id_, "company", other)
        return True

    def _write(self, table: str, id_: str, column: str, value: str) -> None:
        change = {column: value}
        if table in _CHANGED:
            change |= {"last_change": time.stored(self._clock()), "last_changed_by": identity.caller()}
        marks = ", ".join(f"{name} = ?" for name in change)
        self._db.execute(f"UPDATE {table} SET {marks} WHERE id = ?", [*change.values(), id_])
