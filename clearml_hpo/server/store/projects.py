"""Projects: names with slashes make a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, Kind
from clearml_hpo.server.store.membership import Clause
from clearml_hpo.server.store.query import Page, hidden_ones, page_of, select

PROJECTS = Collection(
    "projects",
    {
        "id": Kind.TEXT,
        "company": Kind.TEXT,
        "user": Kind.TEXT,
        "name": Kind.TEXT,
        "basename": Kind.TEXT,
        "description": Kind.TEXT,
        "created": Kind.TIME,
        "tags": Kind.LIST,
        "system_tags": Kind.LIST,
        "last_update": Kind.TIME,
        "featured": Kind.INTEGER,
        "default_output_destination": Kind.TEXT,
        "parent": Kind.TEXT,
        "metadata": Kind.JSON,
    },
)


_INSIDE = "project IN (SELECT value FROM json_each(?))"
_DEEPEST = 100  # levels of the tree


class Projects:
    """The projects of the store."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock

    def create(self, name: str, fields: Mapping[str, Any]) -> str:
        """Makes a project, and those above it that are missing; returns its id."""
        name = _clean(name)
        with self._db.transaction():
            if self.id_of(name) is not None:
                raise ApiRefusal(Refusal.PROJECT_EXISTS, name=name, company=identity.COMPANY_ID)
            return self._insert(name, fields)

    def ensure(self, name: str, fields: Mapping[str, Any] | None = None) -> tuple[str, bool]:
        """The id of the project of that name, and whether it was made now."""
        name = _clean(name)
        with self._db.transaction():
            found = self.id_of(name)
            return (found, False) if found else (self.create(name, fields or {}), True)

    def _insert(self, name: str, fields: Mapping[str, Any]) -> str:
        above, _, basename = name.rpartition("/")
        parent = (self.id_of(above) or self._insert(above, {})) if above else None
        now = time.stored(self._clock())
        document: Document = {
            "id": documents.new_id(),
            "company": identity.COMPANY_ID,
            "user": identity.caller(),
            "name": name,
            "basename": basename,
            "description": fields.get("description") or "",
            "created": now,
            "last_update": now,
            "tags": sorted(set(fields.get("tags") or [])),
            "system_tags": sorted(set(fields.get("system_tags") or [])),
            "featured": 9999,
            "default_output_destination": fields.get("default_output_destination"),
            "parent": parent,
        }
        documents.insert(self._db, PROJECTS, document)
        return str(document["id"])

    def id_of(self, name: str) -> str | None:
        """The id of the project of exactly that name, or None."""
        row = self._db.row("SELECT id FROM projects WHERE name = ?", (name,))
        return row["id"] if row else None

    def get(self, id_: str) -> Document:
        """One project with the ids of those above it in ``path``."""
        document = self.require(id_)
        document["path"] = self.path(document)
        return document

    def require(self, id_: str, fields: Iterable[str] | None = None) -> Document:
        """One project; refuses unknown ids."""
        document = documents.fetch(self._db, PROJECTS, id_, fields)
        if document is None:
            raise ApiRefusal(Refusal.INVALID_PROJECT_ID, id=id_)
        return document

    def path(self, project: Document) -> list[str]:
        """Ids of the projects above ``project``, topmost first."""
        names = str(project["name"]).split("/")[:-1]
        above = ["/".join(names[: depth + 1]) for depth in range(len(names))]
        return [found for name in above if (found := self.id_of(name)) is not None]

    def search(
        self, request: Mapping[str, Any], also: Sequence[Clause] = (), page: Page | None = None
    ) -> tuple[list[Document], Page]:
        """Projects that match a ``projects.get_all`` request."""
        page = page or page_of(request)
        fields = request.get("only_fields")
        columns = PROJECTS.chosen(fields)
        also = [*_visibility(request), *also]
        found = select(self._db, PROJECTS, request, columns=columns, also=also, page=page)
        if fields and "path" in fields:
            for document in found:
                document["path"] = self.path(self.require(document["id"], ["name"]))
        return found, page

    def update(self, id_: str, fields: Mapping[str, Any]) -> int:
        """Sets fields; a new name renames those below it too, and must be at the same place."""
        with self._db.transaction():
            old = self.require(id_, ["name"])["name"]
            changes: Document = {
                name: value for name, value in fields.items() if name in PROJECTS.columns and value is not None
            }
            if name := changes.pop("name", None):
                if "/".join(_steps(name)[:-1]) != old.rpartition("/")[0]:
                    raise ApiRefusal(Refusal.PROJECT_PLACE, name=name)
                changes.update(self._renamed(old, name))
            changes["last_update"] = time.stored(self._clock())
            return documents.update(self._db, PROJECTS, id_, changes)

    def move(self, id_: str, location: str) -> int:
        """Moves a project with all below it under another place, "" for the top; returns how many were moved."""
        with self._db.transaction():
            name = self.require(id_, ["name"])["name"]
            above, _, basename = name.rpartition("/")
            target = _clean(location) if location.strip("/ ") else ""
            if target == above:
                raise ApiRefusal(Refusal.SAME_PROJECT, location=location)
            if f"{target}/".startswith(f"{name}/"):
                raise ApiRefusal(Refusal.PROJECT_BELOW_ITSELF, project=id_, location=location)
            moved = self.with_descendants([id_])
            self._rename(id_, name, f"{target}/{basename}" if target else basename)
        return len(moved)

    def _rename(self, id_: str, old: str, new: str) -> None:
        changes = {**self._renamed(old, new), "last_update": time.stored(self._clock())}
        documents.update(self._db, PROJECTS, id_, changes)

    def _renamed(self, old: str, new: str) -> Document:
        new = _clean(new)
        if new == old:
            return {}
        if self.id_of(new) is not None:
            raise ApiRefusal(Refusal.PROJECT_EXISTS, name=new, company=identity.COMPANY_ID)
        self._db.execute(
            "UPDATE projects SET name = ? || substr(name, ?) WHERE substr(name, 1, ?) = ?",
            (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
        )
        above, _, basename = new.rpartition("/")
        return {"name": new, "basename": basename, "parent": self.ensure(above)[0] if above else None}

    def touch(self, id_: str | None) -> None:
        """Notes that something in the project changed."""
        if id_:
            self._db.execute("UPDATE projects SET last_update = ? WHERE id = ?", (time.stored(self._clock()), id_))

    def with_descendants(self, ids: Iterable[str]) -> list[str]:
        """``ids`` and the ids of all projects below them."""
        rows = self._db.rows(
            "WITH RECURSIVE tree(id) AS (SELECT value FROM json_each(?) "
            "UNION SELECT projects.id FROM projects JOIN tree ON projects.parent = tree.id) SELECT id FROM tree",
            (documents.to_json(list(ids)),),
        )
        return [row["id"] for row in rows]

    def children(self, id_: str, *, search_hidden: bool) -> list[Document]:
        """The projects below one, as ``{id, name}`` by name; those that are hidden only where they are asked for."""
        ids = [found for found in self.with_descendants([id_]) if found != id_]
        also = [] if search_hidden else hidden_ones(PROJECTS, {})
        return select(self._db, PROJECTS, {"id": ids or [""], "order_by": ["name"]}, columns=["id", "name"], also=also)

    def merge(self, id_: str, target: str | None) -> tuple[int, int]:
        """Moves tasks, models and projects of one into another one, and removes it; returns how many were moved.

        Inside a transaction.
        """
        self.require(id_, ["id"])
        if target == id_:
            raise ApiRefusal(Refusal.SAME_PROJECT, source=id_)
        if target in self.with_descendants([id_]):
            raise ApiRefusal(Refusal.PROJECT_BELOW_ITSELF, source=id_, destination=target)
        above = f"{self.require(target, ['name'])['name']}/" if target else ""
        entities = sum(
            self._db.execute(f"UPDATE {table} SET project = ? WHERE project = ?", (target, id_))
            for table in ("tasks", "models")
        )
        children = select(self._db, PROJECTS, {"parent": [id_]}, columns=["id", "name", "basename"])
        for child in children:
            self._rename(child["id"], child["name"], f"{above}{child['basename']}")
        documents.delete(self._db, PROJECTS, id_)
        return entities, len(children)

    def refuse_if_used(self, id_: str, *, force: bool) -> None:
        """Refuses unless ``force``, if there are tasks in a project or below it."""
        self.require(id_, ["id"])
        ids = documents.to_json(self.with_descendants([id_]))
        if not force and self._db.row(f"SELECT 1 FROM tasks WHERE {_INSIDE} LIMIT 1", (ids,)):
            raise ApiRefusal(Refusal.PROJECT_HAS_CONTENT, "use force=true", id=id_)

    def delete(self, id_: str, *, force: bool) -> tuple[int, int]:
        """Removes a project and those below it; their tasks and models stay, without a project.

        Returns how many projects are gone, and how many tasks are without one.
        """
        with self._db.transaction():
            self.refuse_if_used(id_, force=force)
            ids = documents.to_json(self.with_descendants([id_]))
            tasks, _ = (
                self._db.execute(f"UPDATE {table} SET project = NULL WHERE {_INSIDE}", (ids,))
                for table in ("tasks", "models")
            )
            return self._db.execute("DELETE FROM projects WHERE id IN (SELECT value FROM json_each(?))", (ids,)), tasks


def _steps(name: str) -> list[str]:
    return [step.strip() for step in name.split("/") if step]


def _clean(name: str) -> str:
    """A path without empty steps; refuses one with steps that are too short, as ClearML does."""
    steps = _steps(name)
    if not steps:
        raise ApiRefusal(Refusal.BAD_PROJECT_NAME, name=name)
    if any(len(step) < PROJECTS.shortest_name for step in steps):
        raise ApiRefusal(Refusal.VALIDATION, "Project name cannot be blank")
    if len(steps) > _DEEPEST:
        raise ApiRefusal(Refusal.DATA_VALIDATION, name="too many levels")
    return "/".join(steps)


def _visibility(request: Mapping[str, Any]) -> list[Clause]:
    clauses = []
    if request.get("shallow_search") and not request.get("parent"):
        clauses.append(Clause("projects.parent IS NULL"))
    return [*clauses, *hidden_ones(PROJECTS, request)]
