"""The pages: the index, a project, a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from urllib.parse import quote

from clearml_hpo.server.dispatch import Dispatcher
from clearml_hpo.server.pages import html
from clearml_hpo.server.pages.html import Link, Short, Status
from clearml_hpo.server.store import Store
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.tasks import TASKS

_RECENT = 50
_LOG_LINES = 200
_COLUMNS = (
    *("id", "name", "status", "project.name", "started", "active_duration", "last_update", "last_iteration"),
    "last_metrics",
)
_HOME = Link("server", "/")


def index(store: Store, dispatcher: Dispatcher) -> str:
    """What this server holds, the latest first."""
    queues, _ = store.queues.search({})
    workers = store.workers.seen()
    projects, _ = store.projects.search({"order_by": ["-last_update"], "only_fields": ["id", "name", "last_update"]})
    counts = {**store.statistics.counts(), "workers": len(workers)}
    parts = [
        html.note(", ".join(f"{noun}: {number}" for noun, number in counts.items()) + ". Times are UTC."),
        html.section("Recent tasks", _tasks(store, {}, with_project=True)),
        html.columns(
            html.section(
                "Projects",
                html.table(
                    ("name", "last change"),
                    [(Link(p["name"], f"/projects/{quote(p['id'])}"), _moment(p["last_update"])) for p in projects],
                ),
            ),
            html.section(
                "Queues",
                html.table(("name", "waiting"), [(q["name"], len(q["entries"])) for q in queues]),
            ),
            html.section(
                "Workers",
                html.table(
                    ("name", "runs", "last report"),
                    [(Short(w["id"]), _runs(store, w), _moment(w["last_report_time"])) for w in workers],
                ),
            ),
        ),
    ]
    if dispatcher.unknown:
        unknown = ", ".join(f"{name} ({number})" for name, number in dispatcher.unknown.most_common(20))
        parts.append(html.section("Calls to endpoints that are not there", html.note(unknown)))
    return html.page("ClearML-compatible server", *parts)


def project(store: Store, id_: str) -> str:
    """The recent tasks of a project."""
    name = store.projects.require(id_, ["name"])["name"]
    tasks = html.section("Recent tasks", _tasks(store, {"project": [id_]}, with_project=False))
    below = [Link(each["name"], f"/projects/{quote(each['id'])}") for each in store.projects.children(id_)]
    parts = [html.section("Projects below", html.table(("",), ([link] for link in below)))] if below else []
    return html.page(name, *parts, tasks, above=[_HOME])


def task(store: Store, id_: str) -> str:
    """A task: status, parameters, last metrics, artifacts, the end of its console."""
    found = store.tasks.get(id_)
    log, total = store.reports.log(id_, size=_LOG_LINES, earlier=True)
    parameters = (item for items in found["hyperparams"].values() for item in items.values())
    above = [_HOME]
    if "project" in found:
        name = store.projects.require(found["project"], ["name"])["name"]
        above.append(Link(name, f"/projects/{quote(found['project'])}"))
    artifacts = found["execution"].get("artifacts", [])
    return html.page(
        found["name"],
        html.line(
            Status(found["status"]),
            f"iteration {found['last_iteration']}",
            Link("parameters", "#parameters"),
            Link("metrics", "#metrics"),
            Link("console", "#console"),
        ),
        html.columns(
            html.section(
                "Parameters",
                html.table(("section", "name", "value"), _cells(parameters, ("section", "name", "value"))),
                anchor="parameters",
            ),
            html.section(
                "Metrics",
                html.table(
                    ("metric", "variant", "last", "min", "max"),
                    _cells(_metrics(found), ("metric", "variant", "value", "min_value", "max_value")),
                ),
                anchor="metrics",
            ),
        ),
        html.section(
            "Console" + (f" (the last {len(log)} of {total} events)" if total > len(log) else ""),
            html.console("\n".join(event["msg"].rstrip("\n") for event in reversed(log))),
            anchor="console",
        ),
        html.section("Artifacts", html.table(("name", "type", "where"), _cells(artifacts, ("key", "type", "uri"))))
        if artifacts
        else "",
        html.section("About", html.pairs(_facts(found))),
        above=above,
    )


def _tasks(store: Store, request: Document, *, with_project: bool) -> str:
    asked = {**request, "order_by": ["-last_update"], "page": 0, "page_size": _RECENT}
    found, _ = store.tasks.search(asked, _COLUMNS)
    store.joins.fill(TASKS, found, _COLUMNS)
    head = ["status", "project", "name", "started", "ran for", "iteration", "last metrics"]
    rows = [[Status(task["status"]), *_row(task)] for task in found]
    shown = [at for at in range(len(head)) if with_project or head[at] != "project"]
    return html.table([head[at] for at in shown], ([row[at] for at in shown] for row in rows))


def _row(task: Document) -> Iterable[object]:
    project: Document = task.get("project", {})
    path = f"/projects/{quote(project.get('id', '*'))}/tasks/{quote(task['id'])}"
    yield Link(project["name"], f"/projects/{quote(project['id'])}") if "name" in project else None
    yield Link(task["name"], path)
    yield _moment(task.get("started"))
    yield _duration(task.get("active_duration"))
    yield task["last_iteration"]
    metrics = _metrics(task)
    first = [f"{each['metric']}/{each['variant']} {each['value']:.5g}" for each in metrics[:1]]
    more = [f"+{len(metrics) - 1}"] if len(metrics) > 1 else []
    yield Link(" ".join([*first, *more]), f"{path}#metrics")


def _runs(store: Store, worker: Document) -> Link | None:
    found, _ = store.tasks.search({"id": [worker.get("task")]}, ["id", "name"])
    return Link(found[0]["name"], f"/tasks/{quote(found[0]['id'])}") if found else None


def _metrics(task: Document) -> list[Document]:
    return [last for variants in task["last_metrics"].values() for last in variants.values()]


def _facts(task: Document) -> dict[str, object]:
    """What else a person may want to know of a task; what it has nothing of is left out."""
    facts: dict[str, object] = {
        "id": task["id"],
        "type": task["type"],
        "tags": ", ".join(task["tags"]),
        "comment": task.get("comment"),
        "why": ": ".join(text for name in ("status_reason", "status_message") if (text := task.get(name))),
        **{name: _moment(task[name]) for name in ("created", "started", "completed") if name in task},
        "ran for": _duration(task.get("active_duration")),
        "worker": task.get("last_worker"),
        "parent": Link(task["parent"], f"/tasks/{quote(task['parent'])}") if task.get("parent") else None,
    }
    return {name: value for name, value in facts.items() if value}


def _moment(text: str | None) -> Short | None:
    return Short(text[:16].replace("T", " ")) if text else None


def _duration(seconds: int | None) -> Short | None:
    return None if seconds is None else Short(str(timedelta(seconds=seconds)))


def _cells(items: Iterable[Document], names: Sequence[str]) -> list[list[object]]:
    return [[item.get(name) for name in names] for item in items]
