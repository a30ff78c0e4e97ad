"""Collections of documents: which columns a table has, and how a row becomes a JSON document and back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.database import Database, Row

Document = dict[str, Any]


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    TIME = "time"
    INTEGER = "integer"
    FLAG = "flag"
    LIST = "list"
    JSON = "json"


_READ: Mapping[Kind, Callable[[Any], Any]] = {Kind.FLAG: bool, Kind.LIST: json.loads, Kind.JSON: json.loads}
"""From a column to a document, where they differ."""


def new_id() -> str:
    """A fresh identifier, as ClearML writes them."""
    return uuid.uuid4().hex


def to_json(value: Any) -> str:
    """JSON text as SQLite reads it too: it has no NaN and no infinity, which become null."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        finite = json.loads(json.dumps(value), parse_constant=lambda name: None)
        return json.dumps(finite, separators=(",", ":"))


@dataclass(frozen=True)
class Collection:
    """A table of documents.

    Attributes:
        table: its name.
        columns: its columns in the order in which a document shows them.
        shortest_name: names with fewer characters are refused.
    """

    table: str
    columns: Mapping[str, Kind]
    shortest_name: int = 3

    def named(self, fields: Mapping[str, Any]) -> Document:
        """The same fields with the name (if it is among them) as it is stored: without blanks around it.

        Refuses names that ClearML refuses.
        """
        name = fields.get("name")
        if name is None:
            return dict(fields)
        if len(name.strip()) < self.shortest_name:
            raise ApiRefusal(Refusal.DATA_VALIDATION, name="String value is too short")
        return {**fields, "name": name.strip()}

    def chosen(self, fields: Iterable[str] | None) -> list[str]:
        """The columns that ``fields`` (dotted paths; None: all) need."""
        if fields is None:
            return list(self.columns)
        tops = {field.partition(".")[0] for field in fields} | {"id"}
        return [column for column in self.columns if column in tops]

    def decode(self, rows: Sequence[Row]) -> list[Document]:
        """The documents of the rows of one answer; what is not set is left out."""
        names = rows[0].keys() if rows else []
        read = [(name, _READ[kind]) for name in names if (kind := self.columns[name]) in _READ]
        documents = []
        for row in rows:
            document = {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for name, reader in read:
                if name in document:
                    document[name] = reader(document[name])
            documents.append(document)
        return documents

    def encode(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Column values of ``fields``."""
        return {name: self._encoded(name, value) for name, value in fields.items()}

    def _encoded(self, name: str, value: Any) -> Any:
        kind = self.columns[name]
        if value is None:
            return None
        return to_json(value) if kind is Kind.JSON or kind is Kind.LIST else value


def insert(db: Database, collection: Collection, document: Mapping[str, Any]) -> None:
    """Adds a document."""
    values = collection.encode(document)
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO {collection.table} ({names}) VALUES ({marks})", list(values.values()))


def update(db: Database, collection: Collection, id_: str, fields: Mapping[str, Any]) -> int:
    """Sets fields of one document; returns 1, or 0 if there is none."""
    values = collection.encode(fields)
    if not values:
        return 0
    assignments = ", ".join(f"{name} = ?" for name in values)
    return db.execute(f"UPDATE {collection.table} SET {assignments} WHERE id = ?", [*values.values(), id_])


def fetch(db: Database, collection: Collection, id_: str, fields: Iterable[str] | None = None) -> Document | None:
    """One document, or None."""
    names = ", ".join(collection.chosen(fields))
    row = db.row(f"SELECT {names} FROM {collection.table} WHERE id = ?", (id_,))
    return None if row is None else collection.decode([row])[0]


def delete(db: Database, collection: Collection, id_: str) -> int:
    """Removes one document; returns 1, or 0 if there is none."""
    return db.execute(f"DELETE FROM {collection.table} WHERE id = ?", (id_,))


def pick(document: Mapping[str, Any], paths: Iterable[str]) -> Document:
    """The part of ``document`` that the dotted ``paths`` name; what is not there is left out."""
    chosen: Document = {}
    for path in paths:
        if path in document:
            chosen[path] = document[path]
        elif "." in path:
            _copy(document, chosen, path.split("."))
    return chosen


def _copy(source: Mapping[str, Any], target: Document, keys: list[str]) -> None:
    """Copies one path; a key that itself holds dots (a hyperparameter's name) is tried as a whole first."""
    joined = ".".join(keys)
    if joined in source:
        target[joined] = source[joined]
        return
    for cut in range(len(keys) - 1, 0, -1):
        head = ".".join(keys[:cut])
        value = source.get(head)
        if isinstance(value, Mapping):
            below = target.setdefault(head, {})
            if below is not value:
                _copy(value, below, keys[cut:])
            return
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            chosen = target.setdefault(head, [{} for _ in value])
            if chosen is not value:
                for item, part in zip(value, chosen, strict=True):
                    _copy(item, part, keys[cut:])
            return
