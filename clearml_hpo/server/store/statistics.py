"""Numbers and names over many tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Document, to_json
from clearml_hpo.server.store.filters import filters
from clearml_hpo.server.store.membership import Clause, every
from clearml_hpo.server.store.projects import Projects
from clearml_hpo.server.store.tasks import TASKS

STATUSES = (
    "closed",
    "completed",
    "created",
    "failed",
    "in_progress",
    "published",
    "publishing",
    "queued",
    "stopped",
    "unknown",
)
_INSIDE = "tasks.project IN (SELECT value FROM json_each(?))"
_ARCHIVED = "EXISTS (SELECT 1 FROM json_each({table}.system_tags) t WHERE t.value = 'archived')"
# What the children of a project may be, and how their tasks are known.
CHILDREN: dict[str, dict[str, Any]] = {
    "report": {"type": ["report"]},
    "pipeline": {"system_tags": ["pipeline"]},
    "dataset": {"system_tags": ["dataset"]},
}
STATES = {"active": f"NOT {_ARCHIVED}", "archived": _ARCHIVED}


class Statistics:
    """What can be said of all tasks, or of all in some projects."""

    def __init__(self, db: Database, clock: time.Clock, projects: Projects) -> None:
        self._db = db
        self._clock = clock
        self._projects = projects

    def counts(self) -> dict[str, int]:
        """How many documents of each noun there are."""
        nouns = ("projects", "tasks", "models", "queues")
        return {noun: self._db.rows(f"SELECT count(*) FROM {noun}")[0][0] for noun in nouns}

    def types(self, projects: Sequence[str] = ()) -> list[str]:
        """The types of the tasks there are, in some projects; none: in all."""
        where, ids = (_INSIDE, [to_json(list(projects))]) if projects else ("1", [])
        return [
            row["type"] for row in self._db.rows(f"SELECT DISTINCT type FROM tasks WHERE {where} ORDER BY type", ids)
        ]

    def tasks_in(self, projects: Sequence[str]) -> list[str]:
        """Ids of the tasks of some projects."""
        rows = self._db.rows(f"SELECT id FROM tasks WHERE {_INSIDE}", (to_json(list(projects)),))
        return [row["id"] for row in rows]

    def tags(self, column: str) -> list[str]:
        """All tags (or system tags) of all documents."""
        tables = ("tasks", "models", "projects", "queues")
        each = (f"SELECT item.value FROM {table}, json_each({table}.{column}) item" for table in tables)
        return sorted(row[0] for row in self._db.rows(" UNION ".join(each)))

    def size(self, table: str, projects: Sequence[str], state: str | None = None, tag: str | None = None) -> int:
        """How many tasks or models are in some projects themselves; of one state, with a system tag, if given."""
        conditions = ["project IN (SELECT value FROM json_each(?))"]
        conditions += [STATES[state].format(table=table)] if state else []
        conditions += [f"EXISTS (SELECT 1 FROM json_each({table}.system_tags) t WHERE t.value = ?)"] if tag else []
        row = self._db.row(
            f"SELECT count(*) FROM {table} WHERE {' AND '.join(conditions)}",
            (to_json(list(projects)), *([tag] if tag else [])),
        )
        return int(row[0]) if row else 0

    def holding(self, condition: Mapping[str, Any]) -> Clause:
        """Projects in which, or below which, there are tasks that fit a ``condition``, as lists take it."""
        where = every(filters(TASKS, condition))
        return Clause(
            "projects.id IN (WITH RECURSIVE up(id) AS (SELECT DISTINCT tasks.project FROM tasks "
            f"WHERE tasks.project IS NOT NULL AND {where.sql} "
            "UNION SELECT above.parent FROM projects above JOIN up ON above.id = up.id WHERE above.parent IS NOT NULL) "
            "SELECT id FROM up)",
            where.parameters,
        )

    def of_project(self, project: str, condition: Mapping[str, Any], *, below: bool = True) -> Document:
        """Numbers of the tasks in a project, and below it, that are not archived and fit a ``condition``."""
        ids = self._projects.with_descendants([project]) if below else [project]
        also = every(filters(TASKS, condition))
        yesterday = time.stored(self._clock() - timedelta(days=1))
        rows = self._db.rows(
            "SELECT status, count(*) AS number, coalesce(sum(active_duration), 0) AS runtime, max(started) AS last, "
            "sum(status IN ('completed', 'stopped', 'published', 'closed') AND completed > ?) AS today FROM tasks "
            f"WHERE {_INSIDE} AND {STATES['active'].format(table='tasks')} AND {also.sql} GROUP BY status",
            (yesterday, to_json(ids), *also.parameters),
        )
        counts = dict.fromkeys(STATUSES, 0) | {row["status"]: row["number"] for row in rows}
        shown: Document = {
            "status_count": counts,
            "total_tasks": sum(counts.values()),
            "total_runtime": sum(row["runtime"] for row in rows),
            "completed_tasks_24h": sum(row["today"] or 0 for row in rows),
        }
        started = [row["last"] for row in rows if row["last"]]
        return {**shown, "last_task_run": max(started)} if started else shown

    def parameters(self, projects: Sequence[str]) -> list[dict[str, Any]]:
        """Distinct section, name and value of the hyperparameters of the tasks in just these projects; none: in all."""
        columns = "s.key AS section, p.key AS name, json_extract(p.value, '$.value') AS value"
        tables = "tasks, json_each(tasks.hyperparams) s, json_each(s.value) p"
        ids = [to_json(list(projects))] if projects else []
        where = _INSIDE if projects else "1"
        rows = self._db.rows(
            f"SELECT DISTINCT {columns} FROM {tables} WHERE {where} ORDER BY section, name, value", ids
        )
        return [dict(row) for row in rows]

    def metadata(self, projects: Sequence[str]) -> list[tuple[str, str]]:
        """Distinct keys and values of the metadata of the models in some projects; none: in all."""
        where = "models.project IN (SELECT value FROM json_each(?))" if projects else "1"
        rows = self._db.rows(
            "SELECT DISTINCT item.key AS key, json_extract(item.value, '$.value') AS value "
            f"FROM models, json_each(models.metadata) item WHERE {where} ORDER BY key, value",
            [to_json(list(projects))] if projects else [],
        )
        return [(row["key"], row["value"]) for row in rows if row["value"] is not None]
