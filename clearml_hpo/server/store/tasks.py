"""Tasks as documents: made, read, edited. What may happen to them when is in ``lifecycle``."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.status_rules import QUIET
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, Kind
from clearml_hpo.server.store.membership import Clause
from clearml_hpo.server.store.projects import Projects
from clearml_hpo.server.store.query import Page, hidden_ones, page_of, select
from clearml_hpo.server.store.reports import Reports
from clearml_hpo.server.store.scalars import Scalars

TASKS = Collection(
    "tasks",
    {
        "id": Kind.TEXT,
        "company": Kind.TEXT,
        "user": Kind.TEXT,
        "name": Kind.TEXT,
        "type": Kind.TEXT,
        "status": Kind.TEXT,
        "status_reason": Kind.TEXT,
        "status_message": Kind.TEXT,
        "status_changed": Kind.TIME,
        "enqueue_status": Kind.TEXT,
        "comment": Kind.TEXT,
        "report": Kind.TEXT,
        "report_assets": Kind.LIST,
        "created": Kind.TIME,
        "started": Kind.TIME,
        "completed": Kind.TIME,
        "published": Kind.TIME,
        "active_duration": Kind.INTEGER,
        "parent": Kind.TEXT,
        "project": Kind.TEXT,
        "output": Kind.JSON,
        "execution": Kind.JSON,
        "tags": Kind.LIST,
        "system_tags": Kind.LIST,
        "script": Kind.JSON,
        "last_worker": Kind.TEXT,
        "last_worker_report": Kind.TIME,
        "last_update": Kind.TIME,
        "last_change": Kind.TIME,
        "last_iteration": Kind.INTEGER,
        "hyperparams": Kind.JSON,
        "configuration": Kind.JSON,
        "runtime": Kind.JSON,
        "models": Kind.JSON,
        "container": Kind.JSON,
        "last_changed_by": Kind.TEXT,
    },
)

_EXECUTION = {"test_split": 0, "parameters": {}, "model_desc": {}, "model_labels": {}, "artifacts": []}
_SCRIPT = {"binary": "python", "repository": "", "entry_point": "", "requirements": {}}
_LEGACY = "Args"  # the section of parameters as old clients write them
_COMPUTED = frozenset(("last_metrics", "unique_metrics", "metric_stats"))
_GIVEN = (
    "name",
    "type",
    "comment",
    "parent",
    "project",
    "tags",
    "system_tags",
    "script",
    "execution",
    "hyperparams",
    "configuration",
    "models",
    "container",
    "runtime",
)
# Sections that an edit completes; in all others it replaces the whole value.
_MERGED = frozenset(("execution", "script", "output", "models"))


class Tasks:
    """The tasks of the store."""

    def __init__(self, db: Database, clock: time.Clock, projects: Projects, scalars: Scalars, reports: Reports) -> None:
        self._db = db
        self._clock = clock
        self._projects = projects
        self._scalars = scalars
        self._reports = reports

    def create(self, fields: Mapping[str, Any]) -> str:
        """Makes a task in status "created"; returns its id."""
        given = {name: fields[name] for name in _GIVEN if fields.get(name) is not None}
        given = TASKS.named(given)
        with self._db.transaction():
            self.check_references(given)
            document = _new_task(time.stored(self._clock()))
            for name, value in given.items():
                document[name] = _completed(document.get(name), name, value)
            if fields.get("output_dest"):
                document["output"] = {"destination": fields["output_dest"]}
            document = _with_legacy_parameters(document, document["hyperparams"])
            documents.insert(self._db, TASKS, document)
            self._projects.touch(given.get("project"))
        return str(document["id"])

    def get(self, id_: str) -> Document:
        """One whole task; refuses unknown ids."""
        task = documents.fetch(self._db, TASKS, id_)
        if task is None:
            raise ApiRefusal(Refusal.INVALID_TASK_ID, ids=f"({id_})")
        self._complete([task], None)
        return {**task, "unique_metrics": []}  # only a list shows them, where it is asked to

    def require(self, id_: str, fields: Iterable[str] | None = None) -> Document:
        """The stored part of one task; refuses unknown ids."""
        task = documents.fetch(self._db, TASKS, id_, fields)
        if task is None:
            raise ApiRefusal(Refusal.INVALID_TASK_ID, id=id_, company=identity.COMPANY_ID)
        return task

    def search(
        self,
        request: Mapping[str, Any],
        fields: Sequence[str] | None,
        also: Sequence[Clause] = (),
        page: Page | None = None,
    ) -> tuple[list[Document], Page]:
        """Tasks that match a ``tasks.get_all`` request, with at least the columns that ``fields`` need."""
        page = page or page_of(request)
        asked, clauses = self.asked(request)
        also = [*clauses, *also, *hidden_ones(TASKS, request)]
        found = select(self._db, TASKS, asked, columns=_columns(fields), also=also, page=page)
        self._complete(found, fields)
        return found, page

    def asked(self, request: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Clause]]:
        """A request whose projects are those below too where it says so, as a request and what else must hold."""
        wanted = request.get("project")
        if not (request.get("include_subprojects") and wanted):
            return request, []
        ids = self._projects.with_descendants(wanted if isinstance(wanted, list) else [wanted])
        asked = {name: value for name, value in request.items() if name != "project"}
        return asked, [Clause("tasks.project IN (SELECT value FROM json_each(?))", [documents.to_json(ids)])]

    def _complete(self, tasks: Sequence[Document], fields: Sequence[str] | None) -> None:
        """Adds what is kept outside the tasks' table or follows from the clock."""
        wanted = _COMPUTED if fields is None else {field.partition(".")[0] for field in fields} & _COMPUTED
        ids, now = [task["id"] for task in tasks], time.precise(self._clock())
        metrics = self._scalars.last_metrics(ids, _metrics_in(fields)) if wanted - {"metric_stats"} else {}
        stats = self._reports.metric_stats(ids) if "metric_stats" in wanted else {}
        for task in tasks:
            if "last_metrics" in wanted:
                task["last_metrics"] = metrics.get(task["id"], {})
            if "unique_metrics" in wanted:
                task["unique_metrics"] = _unique_metrics(metrics.get(task["id"], {}))
            if "metric_stats" in wanted:
                task["metric_stats"] = stats.get(task["id"], {})
            if task.get("status") == "in_progress" and "started" in task:
                task["active_duration"] = seconds_between(task["started"], now)

    def edit(self, id_: str, fields: Mapping[str, Any]) -> Document:
        """Sets fields at whatever status; returns them as they are now, with the times of the change."""
        changes = {name: fields[name] for name in _GIVEN if fields.get(name) is not None}
        if fields.get("output_dest"):
            changes["output"] = {"destination": fields["output_dest"]}
        changes = TASKS.named(changes)
        with self._db.transaction():
            task = self.require(id_, [*(_MERGED & changes.keys()), "hyperparams"])
            self.check_references(changes)
            done = {name: _completed(task.get(name), name, value) for name, value in changes.items()}
            done = _with_legacy_parameters(done, task["hyperparams"])
            if not done:
                return {}
            self.write(id_, done, quiet=not (done.keys() - QUIET))
        return done

    def forget_model(self, id_: str, model: str) -> None:
        """Takes a model that is gone off a task's lists; a task that is gone, too, has none."""
        with self._db.transaction():
            task = documents.fetch(self._db, TASKS, id_, ["models"])
            if task is None:
                return
            kept = {side: [i for i in items if i.get("model") != model] for side, items in task["models"].items()}
            if kept != task["models"]:
                self.write(id_, {"models": kept}, quiet=True)

    def move(self, id_: str, project: str | None) -> None:
        """Puts a task in a project, or (None) in none."""
        with self._db.transaction():
            self.require(id_, ["id"])
            self.write(id_, {"project": project}, quiet=True)

    def check_references(self, fields: Mapping[str, Any]) -> None:
        """Refuses a project or a parent that is not there; the former parent of a task that was deleted may stay."""
        for name, table, noun in (("project", "projects", "Project"), ("parent", "tasks", "Task")):
            id_ = fields.get(name)
            if id_ is None or (name == "parent" and id_.startswith("__DELETED__")):
                continue
            if not self._db.row(f"SELECT 1 FROM {table} WHERE id = ?", (id_,)):
                raise ApiRefusal(Refusal.INVALID_VALUE, f"expecting {noun} id", id=id_, field=name)

    def write(self, id_: str, fields: Mapping[str, Any], *, quiet: bool = False) -> int:
        """Stores fields as they are, and when. Inside a transaction."""
        now = time.stored(self._clock())
        times = {"last_change": now} if quiet else {"last_change": now, "last_update": now}
        return documents.update(self._db, TASKS, id_, {**fields, **times, "last_changed_by": identity.caller()})

    def clone(self, id_: str, changes: Mapping[str, Any]) -> str:
        """Makes a task with the source's set-up and without its results; returns its id."""
        with self._db.transaction():
            source = self.require(id_)
            changes = TASKS.named(changes)
            self.check_references(changes)
            document = _new_task(time.stored(self._clock()))
            for name in ("name", "type", "project", "tags", "script", "hyperparams", "configuration", "container"):
                if name in source:
                    document[name] = source[name]
            document["execution"] = {**_set_up(source["execution"]), **(changes.get("execution") or {})}
            document["models"] = {"input": source["models"].get("input", []), "output": []}
            document["comment"] = source.get("comment")
            document["output"] = {k: v for k, v in source["output"].items() if k == "destination"}
            document["parent"] = source.get("parent") or id_
            document.update({n: value for n, value in changes.items() if value is not None and n != "execution"})
            documents.insert(self._db, TASKS, document)
            self._projects.touch(document.get("project"))
        return str(document["id"])


def _metrics_in(fields: Sequence[str] | None) -> set[str] | None:
    """The keys of the metrics that dotted names ask for; None: all."""
    parts = [field.split(".") for field in fields or ("last_metrics",)]
    keys = [rest[:1] for top, *rest in parts if top in ("last_metrics", "unique_metrics")]
    return {key for [key] in keys} if all(keys) else None


def _unique_metrics(last_metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [f"{last['metric']}/{last['variant']}" for each in last_metrics.values() for last in each.values()]


def seconds_between(start: str, end: str) -> int:
    """Whole seconds from one stored time to another, never negative."""
    return max(0, int((time.parse(end) - time.parse(start)).total_seconds()))


def _new_task(now: str) -> Document:
    return {
        "id": documents.new_id(),
        "company": identity.COMPANY_ID,
        "user": identity.caller(),
        "name": "",
        "type": "training",
        "status": "created",
        "report_assets": [],
        "created": now,
        "output": {},
        "execution": copy.deepcopy(_EXECUTION),
        "tags": [],
        "system_tags": [],
        "script": copy.deepcopy(_SCRIPT),
        "last_update": now,
        "last_change": now,
        "last_changed_by": identity.caller(),
        "last_iteration": 0,
        "hyperparams": {},
        "configuration": {},
        "runtime": {},
        "models": {"input": [], "output": []},
        "container": {},
    }


def _completed(old: Any, name: str, new: Any) -> Any:
    if name in ("tags", "system_tags"):
        return sorted(new)
    return {**(old or {}), **new} if name in _MERGED else new


def _with_legacy_parameters(fields: Document, hyperparams: Document) -> Document:
    """Turns ``execution.parameters``, as old clients write them, into hyperparameters."""
    parameters = (fields.get("execution") or {}).get("parameters")
    if not parameters:
        return fields
    sections = {section: dict(items) for section, items in (fields.get("hyperparams") or hyperparams).items()}
    for name, value in parameters.items():
        item = {"section": _LEGACY, "name": name, "value": str(value), "type": "legacy"}
        sections.setdefault(_LEGACY, {})[name] = item
    return {**fields, "execution": {**fields["execution"], "parameters": {}}, "hyperparams": sections}


def _set_up(execution: Document) -> Document:
    """The execution section without where and with what result it ran."""
    kept = {name: value for name, value in execution.items() if name != "queue"}
    kept["artifacts"] = [a for a in kept.get("artifacts", []) if a.get("mode") == "input"]
    return kept


def _columns(fields: Sequence[str] | None) -> list[str]:
    if fields is None:
        return TASKS.chosen(None)
    live = ["status", "started"] if "active_duration" in fields else []
    return TASKS.chosen([*fields, *live])
