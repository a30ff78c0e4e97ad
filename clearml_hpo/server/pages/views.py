"""The pages: the index, a project, a task."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from clearml_hpo.server.dispatch import Dispatcher
from clearml_hpo.server.pages import html
from clearml_hpo.server.store import Store
from clearml_hpo.server.store.documents import Document

_RECENT = 50
_LOG_LINES = 200
_COLUMNS = ("id", "name", "status", "project", "last_update", "last_iteration")


def index(store: Store, dispatcher: Dispatcher) -> str:
    """What this server is and what it holds."""
    counts = store.statistics.counts()
    queues, _ = store.queues.search({})
    workers = store.workers.seen()
    projects, _ = store.projects.search({"order_by": ["name"], "only_fields": ["id", "name", "last_update"]})
    unknown = ", ".join(f"{name} ({number})" for name, number in dispatcher.unknown.most_common(20))
    return html.page(
        "ClearML-compatible server",
        html.note(
            "Unmodified ClearML programs and agents talk to this server. "
            "`clearml-hpo server env` prints the variables that point them here."
        ),
        html.note(", ".join(f"{number} {name}" for name, number in counts.items()) + f", {len(workers)} workers"),
        html.section("Recent tasks", _tasks(store, {})),
        html.section(
            "Projects",
            html.table(
                ("name", "last change"),
                [(html.Link(p["name"], f"/projects/{quote(p['id'])}"), p["last_update"][:19]) for p in projects],
            ),
        ),
        html.section("Queues", html.table(("name", "tasks"), [(q["name"], len(q["entries"])) for q in queues])),
        html.section(
            "Workers",
            html.table(
                ("name", "task", "last report"), [(w["id"], w.get("task"), w["last_report_time"][:19]) for w in workers]
            ),
        ),
        html.section("Calls to endpoints that are not there", html.note(unknown or "none")),
    )


def project(store: Store, id_: str) -> str:
    """The recent tasks of a project."""
    found = store.projects.require(id_, ["name"])
    return html.page(found["name"], html.section("Recent tasks", _tasks(store, {"project": [id_]})))


def _tasks(store: Store, request: Document) -> str:
    asked = {**request, "order_by": ["-last_update"], "page": 0, "page_size": _RECENT}
    found, _ = store.tasks.search(asked, _COLUMNS)
    return html.table(
        ("name", "status", "iteration", "last change"),
        [
            (
                html.Link(task["name"], f"/projects/{quote(task.get('project', '*'))}/tasks/{quote(task['id'])}"),
                task["status"],
                task["last_iteration"],
                task["last_update"][:19],
            )
            for task in found
        ],
    )


def task(store: Store, id_: str) -> str:
    """A task: status, parameters, last metrics, artifacts, the end of its console."""
    found = store.tasks.get(id_)
    log, total = store.reports.log(id_, size=_LOG_LINES, earlier=True)
    metrics = [last for variants in found["last_metrics"].values() for last in variants.values()]
    parameters = [item for items in found["hyperparams"].values() for item in items.values()]
    return html.page(
        found["name"],
        html.pairs({name: found[name] for name in _FACTS if found.get(name) is not None}),
        html.section(
            "Parameters",
            html.table(("section", "name", "value"), _cells(parameters, ("section", "name", "value"))),
        ),
        html.section(
            "Metrics",
            html.table(
                ("metric", "variant", "last", "min", "max"),
                _cells(metrics, ("metric", "variant", "value", "min_value", "max_value")),
            ),
        ),
        html.section(
            "Artifacts",
            html.table(("name", "type", "where"), _cells(found["execution"]["artifacts"], ("key", "type", "uri"))),
        ),
        html.section(
            f"Console (the last {len(log)} of {total})",
            html.console("\n".join(event["msg"].rstrip("\n") for event in reversed(log))),
        ),
    )


_FACTS = (
    "id",
    "status",
    "status_reason",
    "status_message",
    "type",
    "tags",
    "comment",
    "created",
    "started",
    "completed",
    "active_duration",
    "last_iteration",
    "last_worker",
    "parent",
)


def _cells(items: Sequence[Document], names: Sequence[str]) -> list[list[object]]:
    return [[item.get(name) for name in names] for item in items]
