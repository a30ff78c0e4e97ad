"""Pieces of text with their markup. All text is escaped here, or by the templates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from clearml_hpo.server.store.documents import Document

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SIZES = ("B", "KB", "MB", "GB", "TB")


def path(*steps: str) -> str:
    """A path of these steps, which may hold any character."""
    return "".join(f"/{quote(step, safe='*')}" for step in steps)


def link(text: str, to: str) -> Markup:
    """A link within this server."""
    return Markup('<a href="{}">{}</a>').format(to, text)


def task_link(id_: str, name: str | None) -> Markup:
    """A link to a task."""
    return link(name or id_, path("tasks", id_))


def status(name: str) -> Markup:
    """The status of a task, with its colour."""
    return Markup('<span class="status {}">{}</span>').format(name, name.replace("_", " "))


def moment(text: str | None) -> Markup:
    """A time; a script shows it in the reader's own zone."""
    if not text:
        return Markup()
    return Markup('<time datetime="{}Z">{}</time>').format(text[:19], text[:16].replace("T", " "))


def duration(seconds: float | None) -> str:
    """How long, to the second."""
    return "" if seconds is None else str(timedelta(seconds=int(seconds)))


def number(value: float | None) -> str:
    """A number as short as it is exact enough; what is not one is said so."""
    if value is None:
        return ""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.6g}"


def size(number_of_bytes: float | None) -> str:
    """A size of a file."""
    if not isinstance(number_of_bytes, (int, float)):
        return ""
    value, step = float(number_of_bytes), 0
    while value >= 1000 and step < len(_SIZES) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.3g} {_SIZES[step]}"


def tags(names: Iterable[str]) -> Markup:
    """Tags beside one another."""
    return Markup("").join(Markup('<span class="tag">{}</span>').format(name) for name in names)


def plain(text: Any) -> str:
    """Text as a terminal would have shown it in the end: without colours, and the last of what overwrote itself."""
    lines = _ANSI.sub("", str(text)).replace("\r\n", "\n").split("\n")
    return _CONTROL.sub("", "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines))


def differences(text: str) -> Markup:
    """A diff, its lines coloured."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    lines = (
        Markup('<span class="{}">{}</span>').format(kinds[line[0]], line) if line[:1] in kinds else escape(line)
        for line in text.splitlines()
    )
    return Markup("\n").join(lines)


def metric_name(metric: str, variant: str) -> str:
    """A metric and variant as users write them."""
    return metric if metric == variant or not variant else f"{metric}/{variant}"


def is_of_the_machine(metric: str) -> bool:
    """Whether a metric is one of those that the SDK's monitor reports by itself."""
    return metric.startswith(":monitor:")


def last_metrics(task: Document) -> list[Document]:
    """The last values of a task's metrics, those of its machine at the end."""
    found = [last for variants in task["last_metrics"].values() for last in variants.values()]
    return sorted(found, key=lambda last: (is_of_the_machine(last["metric"]), last["metric"], last["variant"]))
