"""The columns of the experiment table: those that every task has, hyperparameters, and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from markupsafe import Markup, escape

from clearml_hpo.server.pages import cells
from clearml_hpo.server.pages.visit import Mistake
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import md5

USER_PROPERTIES = "properties"
# Which value of a metric: its name in last_metrics.
WHICH = {"last": "value", "min": "min_value", "max": "max_value"}
DEFAULT = ("status", "started", "duration", "iteration")
Values = dict[tuple[str, str, str], Document]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: its name in the URL.
        title: its name for users.
        order: what ``order_by`` calls it.
        fields: the fields of a task that it needs.
        metric: the metric and variant that it shows, if it is of a metric.
        value: its plain value in a task, of which ``values`` has the metrics.
        cell: that value for users.
        numeric: its values stand right-aligned.
    """

    key: str
    title: str
    order: str
    fields: tuple[str, ...]
    value: Callable[[Document, Values], Any]
    cell: Callable[[Any], Any] = escape
    metric: tuple[str, str] | None = None
    numeric: bool = False


def _fixed(key: str, title: str, field: str, cell: Callable[[Any], Any] = escape, *, numeric: bool = False) -> Column:
    return Column(key, title, field, (field,), lambda task, values: task.get(field), cell, numeric=numeric)


def _reference(key: str, step: str) -> Column:
    """The name of what a task refers to, and a link there."""

    def cell(other: Any) -> Any:
        return cells.link(other["name"], cells.path(step, other["id"])) if "name" in other else ""

    return Column(key, key, f"{key}.name", (f"{key}.name",), lambda task, values: task.get(key), cell)


FIXED = {
    column.key: column
    for column in (
        _fixed("status", "status", "status", cells.status),
        _fixed("type", "type", "type"),
        _fixed("tags", "tags", "tags", cells.tags),
        _reference("project", "projects"),
        _reference("parent", "tasks"),
        _fixed("created", "created", "created", cells.moment),
        _fixed("started", "started", "started", cells.moment),
        _fixed("completed", "ended", "completed", cells.moment),
        _fixed("updated", "updated", "last_update", cells.moment),
        _fixed("duration", "ran for", "active_duration", cells.duration, numeric=True),
        _fixed("iteration", "iteration", "last_iteration", numeric=True),
        _fixed("worker", "worker", "last_worker"),
        _fixed("comment", "comment", "comment"),
        _fixed("id", "id", "id"),
    )
}
NAME = _fixed("name", "name", "name")


def parameter(section: str, name: str) -> Column:
    """The column of a hyperparameter; user properties are the section ``properties``."""
    key = f"p/{quote(section, safe='')}/{quote(name, safe='')}"
    title = name if section == USER_PROPERTIES else f"{section}/{name}"

    def value(task: Document, values: Values) -> Any:
        return task["hyperparams"].get(section, {}).get(name, {}).get("value")

    return Column(key, title, f"hyperparams.{section}.{name}.value", ("hyperparams",), value, _shortened, numeric=True)


def metric(metric: str, variant: str, which: str) -> Column:
    """The column of a metric's last, least or greatest value."""
    field = WHICH[which]
    key = f"m/{quote(metric, safe='')}/{quote(variant, safe='')}/{which}"
    title = cells.metric_name(metric, variant) + ("" if which == "last" else f" {which}")

    def value(task: Document, values: Values) -> Any:
        return values.get((task["id"], metric, variant), {}).get(field)

    order = f"last_metrics.{md5(metric)}.{md5(variant)}.{field}"
    return Column(key, title, order, (), value, cells.number, (metric, variant), numeric=True)


def column(key: str) -> Column:
    """The column of that name in the URL."""
    if key in FIXED:
        return FIXED[key]
    if key == NAME.key:
        return NAME
    kind, *steps = key.split("/")
    names = [unquote(step) for step in steps]
    if kind == "p" and len(names) == 2:
        return parameter(names[0], names[1])
    if kind == "m" and len(names) == 3 and names[2] in WHICH:
        return metric(names[0], names[1], names[2])
    allowed = f"one of name, {', '.join(FIXED)}, p/<section>/<name>, m/<metric>/<variant>/<{'|'.join(WHICH)}>"
    raise Mistake(f"no column {key!r:.100}: {allowed}")


def fields(columns: Iterable[Column]) -> list[str]:
    """The fields of a task that these columns need."""
    return list(dict.fromkeys(field for each in columns for field in each.fields))


def cell(column: Column, task: Document, values: Values) -> Any:
    """What stands in a column for a task; nothing where it has no value."""
    value = column.value(task, values)
    return Markup() if value is None else column.cell(value)


def _shortened(text: Any, length: int = 60) -> Any:
    shown = str(text)
    if len(shown) <= length:
        return escape(shown)
    return Markup('<span title="{}">{}…</span>').format(shown[:1000], shown[: length - 1])
