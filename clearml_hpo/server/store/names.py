"""Names in use: tags, frameworks, users, parents of the documents in some projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, to_json
from clearml_hpo.server.store.filters import filters
from clearml_hpo.server.store.membership import Clause, every
from clearml_hpo.server.store.models import MODELS
from clearml_hpo.server.store.projects import PROJECTS, Projects
from clearml_hpo.server.store.tasks import TASKS

ENTITIES: dict[str, Collection] = {"task": TASKS, "model": MODELS, "project": PROJECTS}


class Names:
    """What there is among the documents of some projects; no projects: of all."""

    def __init__(self, db: Database, projects: Projects) -> None:
        self._db = db
        self._projects = projects

    def tags(
        self, entity: str, column: str, projects: Sequence[str], condition: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Tags (or system tags) of tasks, models or projects that also fit a ``condition``, as lists take it."""
        collection = ENTITIES[entity]
        where = every([*self._inside(collection, projects), *filters(collection, condition or {})])
        table = collection.table
        rows = self._db.rows(
            f"SELECT DISTINCT item.value AS tag FROM {table}, json_each({table}.{column}) item "
            f"WHERE {where.sql} ORDER BY tag",
            where.parameters,
        )
        return [row["tag"] for row in rows]

    def users(self, entity: str, projects: Sequence[str]) -> list[Document]:
        """Who made tasks, models or projects, as ``{id, name}``."""
        collection = ENTITIES[entity]
        where = every(self._inside(collection, projects))
        rows = self._db.rows(
            f"SELECT id, name FROM users WHERE id IN (SELECT user FROM {collection.table} WHERE {where.sql}) "
            "ORDER BY name, id",
            where.parameters,
        )
        return [dict(row) for row in rows]

    def frameworks(self, projects: Sequence[str]) -> list[str]:
        """Frameworks of models."""
        where = every(self._inside(MODELS, projects))
        rows = self._db.rows(
            f"SELECT DISTINCT framework FROM models WHERE framework <> '' AND {where.sql} ORDER BY framework",
            where.parameters,
        )
        return [row["framework"] for row in rows]

    def parents(self, projects: Sequence[str], condition: Mapping[str, Any]) -> list[Document]:
        """The parents of tasks that fit a ``condition``, by name, as ``{id, name, project}``."""
        where = every([*self._inside(TASKS, projects), *filters(TASKS, condition)])
        rows = self._db.rows(
            f"SELECT id, name, project FROM tasks WHERE id IN (SELECT parent FROM tasks WHERE {where.sql}) "
            "ORDER BY name, id",
            where.parameters,
        )
        return [{key: value for key, value in dict(row).items() if value is not None} for row in rows]

    def with_subprojects(self, projects: Sequence[str], include: bool) -> list[str]:
        """Projects, and if wanted all below them."""
        return self._projects.with_descendants(projects) if include else list(projects)

    def _inside(self, collection: Collection, projects: Sequence[str]) -> list[Clause]:
        column = "id" if collection is PROJECTS else "project"
        inside = f"{collection.table}.{column} IN (SELECT value FROM json_each(?))"
        return [Clause(inside, [to_json(list(projects))])] if projects else []
