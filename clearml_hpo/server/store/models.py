"""Models: where their weights are, and which task made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, Kind
from clearml_hpo.server.store.events import forget
from clearml_hpo.server.store.query import Page, page_of, select

MODELS = Collection(
    "models",
    {
        "id": Kind.TEXT,
        "company": Kind.TEXT,
        "user": Kind.TEXT,
        "name": Kind.TEXT,
        "project": Kind.TEXT,
        "parent": Kind.TEXT,
        "created": Kind.TIME,
        "task": Kind.TEXT,
        "comment": Kind.TEXT,
        "tags": Kind.LIST,
        "system_tags": Kind.LIST,
        "uri": Kind.TEXT,
        "framework": Kind.TEXT,
        "design": Kind.JSON,
        "labels": Kind.JSON,
        "ready": Kind.FLAG,
        "ui_cache": Kind.JSON,
        "last_update": Kind.TIME,
        "last_change": Kind.TIME,
        "last_changed_by": Kind.TEXT,
        "last_iteration": Kind.INTEGER,
        "metadata": Kind.JSON,
    },
)
_GIVEN = (
    "name",
    "tags",
    "system_tags",
    "task",
    "comment",
    "uri",
    "project",
    "parent",
    "framework",
    "design",
    "labels",
    "ready",
)


# Fields whose change moves last_change, and not last_update.
_QUIET = frozenset(("name", "comment", "uri", "ui_cache"))


class Models:
    """The models of the store."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock

    def create(self, fields: Mapping[str, Any]) -> str:
        """Makes a model; returns its id."""
        now = time.stored(self._clock())
        document: Document = {
            "id": fields.get("id") or documents.new_id(),
            "company": identity.COMPANY_ID,
            "user": identity.caller(),
            "created": now,
            "last_update": now,
            "last_change": now,
            "last_changed_by": identity.caller(),
            "tags": [],
            "system_tags": [],
            "design": {},
            "labels": {},
            "ready": True,
            "last_iteration": fields.get("iteration") or 0,
            "metadata": fields.get("metadata") or {},
            **given(fields),
        }
        with self._db.transaction():
            if documents.fetch(self._db, MODELS, document["id"], ["id"]):
                raise ApiRefusal(Refusal.VALUE_EXISTS, id=document["id"])
            documents.insert(self._db, MODELS, document)
        return str(document["id"])

    def require(self, id_: str, fields: Iterable[str] | None = None) -> Document:
        """One model; refuses unknown ids."""
        model = documents.fetch(self._db, MODELS, id_, fields)
        if model is None:
            raise ApiRefusal(Refusal.INVALID_MODEL_ID, company=identity.COMPANY_ID, id=id_)
        return model

    def search(
        self, request: Mapping[str, Any], columns: list[str], page: Page | None = None
    ) -> tuple[list[Document], Page]:
        """Models that match a ``models.get_all`` request."""
        page = page or page_of(request)
        return select(self._db, MODELS, request, columns=columns, page=page), page

    def edit(self, id_: str, fields: Mapping[str, Any]) -> Document:
        """Sets fields; returns those of the answer."""
        now = self._clock()
        with self._db.transaction():
            self.require(id_, ["id"])
            changes = given(fields)
            _check_references(self._db, changes)
            shown = {**changes, **({"ui_cache": fields["ui_cache"]} if fields.get("ui_cache") is not None else {})}
            times = ("last_change",) if shown.keys() <= _QUIET else ("last_change", "last_update")
            stored = {**shown, **dict.fromkeys(times, time.stored(now))}
            if fields.get("iteration") is not None:
                stored["last_iteration"] = fields["iteration"]
            if fields.get("metadata") is not None:
                stored["metadata"] = fields["metadata"]
            documents.update(self._db, MODELS, id_, {**stored, "last_changed_by": identity.caller()})
        return {**shown, **dict.fromkeys(times, time.precise(now)), "last_changed_by": identity.caller()}

    def move(self, id_: str, project: str | None) -> None:
        """Puts a model in a project, or (None) in none; one that is unknown is passed over."""
        with self._db.transaction():
            changes = {"project": project, "last_change": time.stored(self._clock())}
            documents.update(self._db, MODELS, id_, changes)

    def set_metadata(self, id_: str, metadata: Mapping[str, Any]) -> None:
        """Replaces a model's metadata."""
        with self._db.transaction():
            documents.update(self._db, MODELS, id_, {"metadata": metadata, "last_change": time.stored(self._clock())})

    def delete(self, id_: str) -> Document:
        """Removes a model; returns what it was."""
        with self._db.transaction():
            model = self.require(id_)
            forget(self._db, id_)
            documents.delete(self._db, MODELS, id_)
            return model

    def release(self, task: str) -> list[Document]:
        """Deletes the drafts among a task's models that are no other task's input; returns them.

        Inside a transaction.
        """
        rows = self._db.rows(
            "SELECT * FROM models WHERE task = ? AND NOT ready AND NOT EXISTS (SELECT 1 FROM tasks "
            "WHERE json_array_length(tasks.models, '$.input') > 0 AND tasks.id != models.task "
            "AND instr(json_extract(tasks.models, '$.input'), models.id))",
            (task,),
        )
        deleted = MODELS.decode(rows)
        for model in deleted:
            self.delete(model["id"])
        return deleted

    def orphan(self, task: str, former: str | None) -> int:
        """Notes in the models of a task that is gone whose they were; returns how many. Inside a transaction."""
        return self._db.execute("UPDATE models SET task = ? WHERE task = ?", (former, task))


def _check_references(db: Database, fields: Mapping[str, Any]) -> None:
    """Refuses a project or a task that is not there."""
    for name, table, noun in (("project", "projects", "Project"), ("task", "tasks", "Task")):
        id_ = fields.get(name)
        if id_ is not None and not db.row(f"SELECT 1 FROM {table} WHERE id = ?", (id_,)):
            raise ApiRefusal(Refusal.INVALID_VALUE, f"expecting {noun} id", id=id_, field=name)


def given(fields: Mapping[str, Any]) -> Document:
    """The fields of a model that a request sets."""
    document = {name: fields[name] for name in _GIVEN if fields.get(name) is not None}
    document = MODELS.named(document)
    for name in ("tags", "system_tags"):
        if name in document:
            document[name] = sorted({str(tag) for tag in document[name]})
    return document
