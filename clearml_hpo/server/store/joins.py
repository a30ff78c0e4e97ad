"""References of ``*.get_all_ex`` filled in: ``"project": "<id>"`` becomes ``"project": {"id", "name"}``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clearml_hpo.server import identity
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document
from clearml_hpo.server.store.models import MODELS
from clearml_hpo.server.store.projects import PROJECTS
from clearml_hpo.server.store.query import select
from clearml_hpo.server.store.queues import QUEUES
from clearml_hpo.server.store.tasks import TASKS
from clearml_hpo.server.store.users import USERS

REFERENCES: dict[str, dict[str, Collection]] = {
    "tasks": {
        "project": PROJECTS,
        "parent": TASKS,
        "user": USERS,
        "execution.queue": QUEUES,
        "models.input.model": MODELS,
        "models.output.model": MODELS,
    },
    "models": {"project": PROJECTS, "task": TASKS, "parent": MODELS, "user": USERS},
    "projects": {"parent": PROJECTS, "user": USERS},
}


class Joins:
    """Fills references in."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def fill(self, collection: Collection, found: Sequence[Document], fields: Sequence[str] | None) -> None:
        """Turns each reference into ``{"id"}`` with the parts that ``fields`` (dotted) ask for, references too."""
        for name, other in REFERENCES.get(collection.table, {}).items():
            steps = name.split(".")
            places = [place for document in found if steps[0] in document for place in _places(document, steps)]
            known = self._known(other, {holder[key] for holder, key in places}, below(fields, name))
            for holder, key in places:
                holder[key] = known.get(holder[key], {"id": holder[key]})
        asked = "name" in below(fields, "company")
        for document in found:
            if isinstance(document.get("company"), str):
                names = {"name": identity.COMPANY_NAME} if asked else {}
                document["company"] = {"id": document["company"], **names}

    def _known(self, other: Collection, ids: set[str], wanted: Sequence[str]) -> dict[str, Document]:
        if not ids or not wanted:
            return {}
        rows = select(self._db, other, {"id": sorted(ids)}, columns=other.chosen(wanted))
        self.fill(other, rows, wanted)
        return {row["id"]: documents.pick(row, joined(other, wanted) or []) for row in rows}


def joined(collection: Collection, fields: Sequence[str] | None) -> list[str] | None:
    """``fields`` and the ids of the document and of all it refers to, which an answer always has."""
    if fields is None:
        return None
    shown = ["id", *fields, *(["company.id"] if below(fields, "company") else [])]
    for name, other in REFERENCES.get(collection.table, {}).items():
        wanted = below(fields, name)
        shown += [f"{name}.{part}" for part in (joined(other, wanted) or [])] if wanted else []
    return shown


def below(fields: Sequence[str] | None, name: str) -> list[str]:
    """What dotted ``fields`` ask for of the document that ``name`` refers to."""
    return [field[len(name) + 1 :] for field in fields or () if field.startswith(f"{name}.")]


def _places(value: Any, steps: Sequence[str]) -> Iterator[tuple[Document, str]]:
    """Where the ids of a dotted name stand, in objects and in lists of them: the object and the key."""
    if isinstance(value, list):
        for item in value:
            yield from _places(item, steps)
    elif isinstance(value, dict) and steps[0] in value:
        if len(steps) > 1:
            yield from _places(value[steps[0]], steps[1:])
        elif isinstance(value[steps[0]], str) and value[steps[0]]:
            yield value, steps[0]
