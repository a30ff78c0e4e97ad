"""What users page through: numbers by project, names to choose from, chosen values, a window of a console."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.server.store.database import Database, Row
from clearml_hpo.server.store.documents import Document, to_json
from clearml_hpo.server.store.membership import Clause
from clearml_hpo.server.store.query import count
from clearml_hpo.server.store.scalars import SINGLE_VALUE_ITERATION
from clearml_hpo.server.store.tasks import TASKS, Tasks

_IN = "IN (SELECT value FROM json_each(?))"
_ARCHIVED = "EXISTS (SELECT 1 FROM json_each(tasks.system_tags) t WHERE t.value = 'archived')"
_VALUES = ("value", "min_value", "min_value_iteration", "max_value", "max_value_iteration")
Moment = tuple[int, int]  # a console event: its time in milliseconds, and its number


class Browse:
    """Reads that no endpoint needs, each of no more than what a page shows."""

    def __init__(self, db: Database, tasks: Tasks) -> None:
        self._db = db
        self._tasks = tasks

    def count(self, request: Mapping[str, Any], also: Sequence[Clause] = ()) -> int:
        """How many tasks match a ``tasks.get_all`` request."""
        asked, clauses = self._tasks.asked(request)
        return count(self._db, TASKS, asked, [*clauses, *also])

    def by_project(self) -> dict[str | None, Document]:
        """``{project: {"last": time, "archived": number, status: number of tasks that are not archived}}``."""
        rows = self._db.rows(
            f"SELECT project, status, {_ARCHIVED} AS archived, count(*) AS number, max(last_update) AS last "
            "FROM tasks GROUP BY 1, 2, 3"
        )
        found: dict[str | None, Document] = {}
        for row in rows:
            each = found.setdefault(row["project"], {"last": "", "archived": 0})
            name = "archived" if row["archived"] else row["status"]
            each[name] = each.get(name, 0) + row["number"]
            each["last"] = max(each["last"], row["last"])
        return found

    # --- names to choose from, and the values of those chosen ---------------------------------------------------------

    def parameters(self, projects: Sequence[str] | None) -> list[tuple[str, str]]:
        """Sections and names of the hyperparameters of the tasks in some projects (None: in all)."""
        inside, ids = _inside(projects)
        rows = self._db.rows(
            "SELECT DISTINCT s.key, p.key FROM tasks, json_each(tasks.hyperparams) s, json_each(s.value) p "
            f"WHERE {inside} ORDER BY 1, 2",
            ids,
        )
        return [(row[0], row[1]) for row in rows]

    def metrics(self, projects: Sequence[str] | None) -> list[tuple[str, str]]:
        """Metrics and variants of the tasks in some projects (None: in all)."""
        inside, ids = _inside(projects)
        rows = self._db.rows(
            f"SELECT DISTINCT metric, variant FROM tasks JOIN series ON owner = tasks.id WHERE {inside} ORDER BY 1, 2",
            ids,
        )
        return [(row[0], row[1]) for row in rows]

    def metrics_of(self, owners: Sequence[str]) -> list[tuple[str, str]]:
        """Metrics and variants of some tasks, those that most of them have first."""
        rows = self._db.rows(
            f"SELECT metric, variant FROM series WHERE owner {_IN} GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2",
            (to_json(list(owners)),),
        )
        return [(row[0], row[1]) for row in rows]

    def drawn(self, owners: Sequence[str]) -> list[tuple[str, str]]:
        """Metrics and variants of some tasks that have values of iterations, and not only single ones."""
        rows = self._db.rows(
            f"SELECT DISTINCT metric, variant FROM series WHERE owner {_IN} AND EXISTS "
            "(SELECT 1 FROM scalars WHERE scalars.series = series.id AND iter > ?) ORDER BY 1, 2",
            (to_json(list(owners)), SINGLE_VALUE_ITERATION),
        )
        return [(row[0], row[1]) for row in rows]

    def values(self, owners: Sequence[str], wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str, str], Document]:
        """``{(task, metric, variant): {value, min_value, min_value_iteration, ...}}`` of the names wanted."""
        names = [to_json(sorted({name[at] for name in wanted})) for at in (0, 1)]
        rows = self._db.rows(
            f"SELECT owner, metric, variant, {', '.join(_VALUES)} FROM series "
            f"WHERE owner {_IN} AND metric {_IN} AND variant {_IN}",
            (to_json(list(owners)), *names),
        )
        return {(row[0], row[1], row[2]): {name: row[name] for name in _VALUES} for row in rows}

    # --- plots and images ---------------------------------------------------------------------------------------------

    def titles(self, owner: str, kind: str) -> list[Document]:
        """``{metric, variant, iterations}`` of the plots or images of a task, the latest iteration first."""
        rows = self._db.rows(
            "SELECT metric, variant, json_group_array(iter) AS iterations FROM "
            "(SELECT metric, variant, iter FROM reports WHERE owner = ? AND type = ? ORDER BY iter DESC) "
            "GROUP BY metric, variant ORDER BY metric, variant",
            (owner, kind),
        )
        return [{**dict(row), "iterations": json.loads(row["iterations"])} for row in rows]

    def report(self, owner: str, kind: str, metric: str, variant: str, iteration: int) -> Document | None:
        """One plot or image as it was reported."""
        row = self._db.row(
            "SELECT body FROM reports WHERE owner = ? AND type = ? AND metric = ? AND variant = ? AND iter = ?",
            (owner, kind, metric, variant, iteration),
        )
        return json.loads(row["body"]) if row else None

    # --- console ------------------------------------------------------------------------------------------------------

    def console(self, owner: str, size: int, before: Moment | None = None) -> list[Row]:
        """The last ``size`` console events (before another), earliest first: id, timestamp, level, msg."""
        time, number = before or (2**62, 0)
        rows = self._db.rows(
            "SELECT id, timestamp, level, msg FROM logs WHERE owner = ? AND (timestamp, id) < (?, ?) "
            "ORDER BY timestamp DESC, id DESC LIMIT ?",
            (owner, time, number, size),
        )
        return rows[::-1]

    def console_after(self, owner: str, after: Moment, size: int) -> list[Row]:
        """The next ``size`` console events after another, earliest first: id, timestamp, level, msg."""
        return self._db.rows(
            "SELECT id, timestamp, level, msg FROM logs WHERE owner = ? AND (timestamp, id) > (?, ?) "
            "ORDER BY timestamp, id LIMIT ?",
            (owner, *after, size),
        )


def mentions(text: str) -> Clause:
    """Tasks of which a hyperparameter, written ``section/name=value``, contains ``text``; case does not matter."""
    return Clause(
        "EXISTS (SELECT 1 FROM json_each(tasks.hyperparams) s, json_each(s.value) p WHERE instr(lower("
        "s.key || '/' || p.key || '=' || coalesce(json_extract(p.value, '$.value'), '')), lower(?)))",
        [text],
    )


def _inside(projects: Sequence[str] | None) -> tuple[str, list[str]]:
    return ("1", []) if projects is None else (f"tasks.project {_IN}", [to_json(list(projects))])
