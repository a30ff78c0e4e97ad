"""References of ``*.get_all_ex`` filled in: ``"project": "<id>"`` becomes ``"project": {"id", "name"}``."""

from __future__ import annotations

from collections.abc import Sequence

from clearml_hpo.server import identity
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document
from clearml_hpo.server.store.models import MODELS
from clearml_hpo.server.store.projects import PROJECTS
from clearml_hpo.server.store.query import select
from clearml_hpo.server.store.queues import QUEUES
from clearml_hpo.server.store.tasks import TASKS

REFERENCES: dict[str, dict[str, Collection]] = {
    "tasks": {"project": PROJECTS, "parent": TASKS, "execution.queue": QUEUES},
    "models": {"project": PROJECTS, "task": TASKS, "parent": MODELS},
    "projects": {"parent": PROJECTS},
}
_NAMES = {"user": identity.USER_NAME, "company": identity.COMPANY_NAME}


class Joins:
    """Fills references in."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def fill(self, collection: Collection, found: Sequence[Document], fields: Sequence[str] | None) -> None:
        """Turns each reference into ``{"id"}`` with the parts that ``fields`` (dotted) ask for."""
        for name, other in REFERENCES[collection.table].items():
            wanted = _below(fields, name)
            ids = {id_ for document in found if (id_ := _read(document, name))}
            known = self._known(other, ids, wanted)
            for document in found:
                id_ = _read(document, name)
                if id_:
                    _write(document, name, known.get(id_, {"id": id_}))
        for name, text in _NAMES.items():
            asked = "name" in _below(fields, name)
            for document in found:
                if name in document:
                    document[name] = {"id": document[name], **({"name": text} if asked else {})}

    def _known(self, other: Collection, ids: set[str], wanted: Sequence[str]) -> dict[str, Document]:
        if not ids or not wanted:
            return {}
        columns = other.chosen(wanted)
        rows = select(self._db, other, {"id": sorted(ids)}, columns=columns)
        return {row["id"]: documents.pick(row, ["id", *wanted]) for row in rows}


def joined(collection: Collection, fields: Sequence[str] | None) -> list[str] | None:
    """``fields`` and the ids of the document and of all it refers to, which an answer always has."""
    if fields is None:
        return None
    names = [*REFERENCES[collection.table], *_NAMES]
    return ["id", *fields, *(f"{name}.id" for name in names if _below(fields, name))]


def _below(fields: Sequence[str] | None, name: str) -> list[str]:
    return [field[len(name) + 1 :] for field in fields or () if field.startswith(f"{name}.")]


def _read(document: Document, path: str) -> str | None:
    top, _, rest = path.partition(".")
    value = document.get(top)
    if rest:
        return _read(value, rest) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _write(document: Document, path: str, value: Document) -> None:
    top, _, rest = path.partition(".")
    if rest:
        _write(document[top], rest, value)
    else:
        document[top] = value
