"""Queues, and the order of the tasks in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, Kind
from clearml_hpo.server.store.history import History
from clearml_hpo.server.store.query import Page, hidden_ones, page_of, select

QUEUES = Collection(
    "queues",
    {
        "id": Kind.TEXT,
        "name": Kind.TEXT,
        "display_name": Kind.TEXT,
        "company": Kind.TEXT,
        "user": Kind.TEXT,
        "created": Kind.TIME,
        "tags": Kind.LIST,
        "system_tags": Kind.LIST,
        "last_update": Kind.TIME,
        "metadata": Kind.JSON,
    },
)
DEFAULT_QUEUE = "default"


class Queues:
    """The queues of the store; each server has one named "default"."""

    def __init__(self, db: Database, clock: time.Clock, history: History) -> None:
        self._db = db
        self._clock = clock
        self._history = history
        with db.transaction():
            self.default_id()

    def create(self, name: str, fields: Mapping[str, Any]) -> str:
        """Makes a queue; returns its id."""
        name = QUEUES.named({"name": name})["name"]
        now = time.stored(self._clock())
        document: Document = {
            "id": documents.new_id(),
            "name": name,
            "company": identity.COMPANY_ID,
            "created": now,
            "tags": sorted(set(fields.get("tags") or [])),
            "system_tags": sorted(set(fields.get("system_tags") or [])),
            "last_update": now,
            "metadata": fields.get("metadata") or {},
        }
        with self._db.transaction():
            if self.id_of(name) is not None:
                raise ApiRefusal(Refusal.VALUE_EXISTS, name=name)
            documents.insert(self._db, QUEUES, document)
        return str(document["id"])

    def id_of(self, name: str) -> str | None:
        """The id of the queue of exactly that name, or None."""
        row = self._db.row("SELECT id FROM queues WHERE name = ?", (name,))
        return row["id"] if row else None

    def default_id(self) -> str:
        """The id of the default queue, which is made again if it was deleted."""
        with self._db.transaction():
            return self.id_of(DEFAULT_QUEUE) or self.create(DEFAULT_QUEUE, {"system_tags": ["default"]})

    def is_there(self, id_: str) -> bool:
        """Whether there is a queue of that id."""
        return documents.fetch(self._db, QUEUES, id_, ["id"]) is not None

    def require(self, id_: str) -> Document:
        """One queue without its entries; refuses unknown ids."""
        queue = documents.fetch(self._db, QUEUES, id_)
        if queue is None:
            raise ApiRefusal(Refusal.INVALID_QUEUE_ID, id=id_, company=identity.COMPANY_ID)
        return queue

    def get(self, id_: str, limit: int | None = None) -> Document:
        """One queue with its entries."""
        return with_entries(self.require(id_), self.entries(id_, limit))

    def search(self, request: Mapping[str, Any], page: Page | None = None) -> tuple[list[Document], Page]:
        """Queues that match a ``queues.get_all`` request."""
        page = page or page_of(request)
        fields = request.get("only_fields")
        also = hidden_ones(QUEUES, request)
        found = select(self._db, QUEUES, request, columns=QUEUES.chosen(fields), also=also, page=page)
        if fields is None or any(field.partition(".")[0] == "entries" for field in fields):
            most = int(request.get("max_task_entries") or 0)
            found = [with_entries(queue, _cut(self.entries(queue["id"]), most)) for queue in found]
        return found, page

    def update(self, id_: str, fields: Mapping[str, Any]) -> Document:
        """Sets fields of a queue; returns those that were given."""
        names = ("name", "display_name", "tags", "system_tags", "metadata")
        changes = {name: fields[name] for name in names if fields.get(name) is not None}
        with self._db.transaction():
            self.require(id_)
            changes = QUEUES.named(changes)
            if "name" in changes and self.id_of(changes["name"]) not in (None, id_):
                raise ApiRefusal(Refusal.VALUE_EXISTS, name=changes["name"])
            changes.update({name: sorted(changes[name]) for name in ("tags", "system_tags") if name in changes})
            documents.update(self._db, QUEUES, id_, {**changes, "last_update": time.stored(self._clock())})
            return changes

    def delete(self, id_: str) -> int:
        """Removes an empty queue; ``lifecycle`` empties one."""
        return documents.delete(self._db, QUEUES, id_)

    # --- entries ------------------------------------------------------------------------------------------------------

    def entries(self, id_: str, limit: int | None = None) -> list[Document]:
        """The tasks in a queue, next first."""
        rows = self._db.rows(
            "SELECT task, added FROM queue_entries WHERE queue = ? ORDER BY position LIMIT ?",
            (id_, -1 if limit is None else limit),
        )
        return [dict(row) for row in rows]

    def size(self, id_: str) -> int:
        """How many tasks are in a queue."""
        row = self._db.row("SELECT count(*) FROM queue_entries WHERE queue = ?", (id_,))
        return int(row[0]) if row else 0

    def append(self, id_: str, task: str) -> None:
        """Puts a task last. Inside a transaction."""
        self._db.execute(
            "INSERT INTO queue_entries (task, queue, position, added) "
            "SELECT ?, ?, coalesce(max(position), 0) + 1, ? FROM queue_entries WHERE queue = ?",
            (task, id_, self._touch(id_), id_),
        )
        self._history.queue_changed(id_)

    def has(self, id_: str, task: str) -> bool:
        """Whether a task stands in a queue."""
        return bool(self._db.row("SELECT 1 FROM queue_entries WHERE queue = ? AND task = ?", (id_, task)))

    def remove(self, task: str, id_: str | None = None) -> bool:
        """Takes a task out of a queue, or (None) of all; whether it stood in one. Inside a transaction."""
        rows = self._db.rows(
            "SELECT queue FROM queue_entries WHERE task = ? AND queue = coalesce(?, queue)", (task, id_)
        )
        for row in rows:
            self._db.execute("DELETE FROM queue_entries WHERE task = ? AND queue = ?", (task, row["queue"]))
            self._touch(row["queue"])
            self._history.queue_changed(row["queue"])
        return bool(rows)

    def pop(self, id_: str, task: str | None = None) -> Document | None:
        """Takes the first entry out of a queue, whatever its task's status; two callers never get the same.

        None if the queue is empty, or if the first one is not ``task`` where that is named.
        """
        self.require(id_)
        if self.size(id_) == 0:  # agents ask all the time: an empty answer takes no lock
            return None
        with self._db.transaction():
            first = self.entries(id_, 1)
            if not first or task not in (None, first[0]["task"]):
                return None
            self.remove(first[0]["task"], id_)
            return first[0]

    def _touch(self, id_: str) -> str:
        now = time.stored(self._clock())
        self._db.execute("UPDATE queues SET last_update = ? WHERE id = ?", (now, id_))
        return now

    def position(self, id_: str, task: str) -> int:
        """A task's place in a queue, from 0."""
        order = [entry["task"] for entry in self.entries(id_)]
        if task not in order:
            raise ApiRefusal(Refusal.NOT_IN_QUEUE, task=task, id=id_, company=identity.COMPANY_ID)
        return order.index(task)

    def move(self, id_: str, task: str, to: int) -> int:
        """Moves a task to a place, cut to those there are; returns it."""
        with self._db.transaction():
            self.position(id_, task)
            order = [entry["task"] for entry in self.entries(id_) if entry["task"] != task]
            place = max(0, min(to, len(order)))
            order.insert(place, task)
            self._db.execute_many(
                "UPDATE queue_entries SET position = ? WHERE queue = ? AND task = ?",
                [(number, id_, each) for number, each in enumerate(order, start=1)],
            )
            self._touch(id_)
        return place


def _cut(entries: list[Document], most: int) -> list[Document]:
    """The first so many; less than 0: the last; 0: all."""
    return entries[:most] if most > 0 else entries[most:]


def with_entries(queue: Document, entries: list[Document]) -> Document:
    """A queue's document with its entries in their usual place."""
    shown = {name: value for name, value in queue.items() if name not in ("last_update", "metadata")}
    shown["entries"] = entries
    shown.update({name: queue[name] for name in ("last_update", "metadata") if name in queue})
    return shown
