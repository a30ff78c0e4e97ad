"""A table as CSV: all of its tasks, not only those of one page."""

from __future__ import annotations

import csv as comma_separated
import io
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from clearml_hpo.core.csv_cells import cell
from clearml_hpo.server.pages.columns import FIXED, NAME, Column, fields
from clearml_hpo.server.pages.experiments import columns_of, values_of
from clearml_hpo.server.pages.selection import Selection
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.tasks import TASKS

_PART, _MOST = 500, 100_000


def csv(visit: Visit) -> Response:
    """The file, a part at a time."""
    selection = Selection.of(visit)
    columns = [FIXED["id"], NAME, *(each for each in columns_of(visit, selection) if each.key != "id")]
    headers = {"content-disposition": 'attachment; filename="tasks.csv"'}
    return StreamingResponse(_lines(visit, selection, columns), media_type="text/csv", headers=headers)


def _lines(visit: Visit, selection: Selection, columns: list[Column]) -> Iterator[str]:
    yield _written([[each.title for each in columns]])
    asked, also = selection.request()
    found, _ = visit.store.tasks.search({**asked, "page_size": _MOST}, ["id"], also)
    ids = [task["id"] for task in found]
    for at in range(0, len(ids), _PART):
        part = ids[at : at + _PART]
        tasks, _ = visit.store.tasks.search({"id": part}, ["id", *fields(columns)])
        tasks.sort(key=lambda task: part.index(task["id"]))
        visit.store.joins.fill(TASKS, tasks, fields(columns))
        values = values_of(visit, tasks, columns)
        yield _written([[_plain(each.value(task, values)) for each in columns] for task in tasks])


def _written(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    comma_separated.writer(text).writerows([[cell(item) for item in row] for row in rows])
    return text.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("name", "")
    return " ".join(map(str, value)) if isinstance(value, list) else value
