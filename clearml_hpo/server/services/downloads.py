"""``organization.*``: a table of the web app as CSV, which is prepared by one call and then fetched."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from clearml_hpo.core.csv_cells import cell
from clearml_hpo.server.endpoint import Call, Data, Service, Text
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import OBJECTS, STR, required
from clearml_hpo.server.services import models, tasks
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.query import PAGE_SIZE

service = Service("organization")

# What a table may be of: the list that has its rows, and their name in the answer.
_LISTS: dict[str, tuple[Callable[[Call], Data], str]] = {
    "task": (tasks.get_all_ex, "tasks"),
    "model": (models.get_all_ex, "models"),
}
MOST = 50_000  # rows; what users.get_current_user says


@service.endpoint("prepare_download_for_get_all", entity_type=required(STR), field_mappings=required(OBJECTS))
def prepare_download_for_get_all(call: Call) -> Data:
    """Remembers which documents and fields a table has, for the call that fetches it."""
    if call.data["entity_type"] not in _LISTS:
        detail = f"error for field 'entity_type': one of {', '.join(_LISTS)}, not {call.data['entity_type']!r:.100}"
        raise ApiRefusal(Refusal.VALIDATION, detail)
    for column in call.data["field_mappings"]:
        if not isinstance(column.get("field"), str):
            raise ApiRefusal(Refusal.VALIDATION, "error for field 'field_mappings': each needs a field")
    return {"prepare_id": call.store.prepared.add(dict(call.data))}


@service.endpoint("download_for_get_all", prepare_id=required(STR))
def download_for_get_all(call: Call) -> Text:
    """The table that was prepared, as a file."""
    return Text(table(call, call.data["prepare_id"]), "table.csv")


def table(call: Call, prepare_id: str) -> str:
    """The CSV of a table that was prepared, up to ``MOST`` rows."""
    asked = call.store.prepared.find(prepare_id)
    if asked is None:
        raise ApiRefusal(Refusal.VALIDATION, "prepare the download again: it is not known any more", id=prepare_id)
    columns = asked["field_mappings"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([cell(column.get("name") or column["field"]) for column in columns])
    writer.writerows([cell(_cell(document, column)) for column in columns] for document in _rows(call, asked))
    return text.getvalue()


def _rows(call: Call, asked: Document) -> Iterator[Document]:
    answer, name = _LISTS[asked["entity_type"]]
    fields = asked.get("only_fields") or [column["field"] for column in asked["field_mappings"]]
    request = {key: value for key, value in asked.items() if key not in ("scroll_id", "page", "size")}
    for page in range(MOST // PAGE_SIZE):
        part = {**request, "only_fields": fields, "page": page, "page_size": PAGE_SIZE}
        found = answer(replace(call, data=part))[name]
        yield from found
        if len(found) < PAGE_SIZE:
            return


def _cell(document: Document, column: Document) -> str:
    """What stands in a column: a text, or JSON where it is no single value; as the column's ``values`` name it."""
    value: Any = document
    for step in column["field"].split("."):
        value = value.get(step) if isinstance(value, dict) else None
    names = {each.get("key"): each.get("value") for each in column.get("values") or [] if isinstance(each, dict)}
    if isinstance(value, (str, int, float)):
        value = names.get(value, value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
