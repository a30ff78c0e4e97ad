"""Which documents a ``*.get_all`` request finds: its filters, order and page as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document
from clearml_hpo.server.store.expressions import ordering
from clearml_hpo.server.store.filters import filters
from clearml_hpo.server.store.membership import Clause

PAGE_SIZE = 500
_LARGEST_PAGE = 100_000


@dataclass(frozen=True)
class Page:
    """Which rows of the answer are wanted."""

    offset: int
    size: int


def scroll_id_of(offset: int) -> str:
    """The state of a scroll through events, which is in its id."""
    return f"{offset:032x}"


def offset_of(request: Mapping[str, Any]) -> int:
    """Where the scroll through events continues, or 0 where it begins."""
    try:
        return max(0, min(int(request.get("scroll_id") or "0", 16), 2**40))
    except ValueError:
        raise ApiRefusal(Refusal.VALIDATION, "unknown scroll_id") from None


def page_of(request: Mapping[str, Any]) -> Page:
    """The page that a request of the server's own asks for; ``services.lists`` has the rules for clients."""
    size = min(request.get("page_size") or PAGE_SIZE, _LARGEST_PAGE)
    return Page((request.get("page") or 0) * size, size)


def select(
    db: Database,
    collection: Collection,
    request: Mapping[str, Any],
    *,
    columns: Sequence[str] | None = None,
    also: Sequence[Clause] = (),
    page: Page | None = None,
) -> list[Document]:
    """The documents that a request asks for, in its order; all of them where ``page`` is None."""
    clauses = [*filters(collection, request), *also]
    order, order_parameters = ordering(collection, request.get("order_by"), request.get("search_text"))
    names = ", ".join(columns if columns is not None else collection.columns)
    sql = f"SELECT {names} FROM {collection.table}{_where(clauses)} ORDER BY {order}"
    parameters = [p for clause in clauses for p in clause.parameters] + order_parameters
    if page is not None:
        sql += " LIMIT ? OFFSET ?"
        parameters += [page.size, page.offset]
    return collection.decode(db.rows(sql, parameters))


def count(db: Database, collection: Collection, request: Mapping[str, Any], also: Sequence[Clause] = ()) -> int:
    """How many documents match a request."""
    clauses = [*filters(collection, request), *also]
    parameters = [p for clause in clauses for p in clause.parameters]
    row = db.row(f"SELECT count(*) FROM {collection.table}{_where(clauses)}", parameters)
    return int(row[0]) if row else 0


def hidden_ones(collection: Collection, request: Mapping[str, Any]) -> list[Clause]:
    """Leaves out what has the system tag "hidden", unless it is asked for: by its id, or with ``search_hidden``."""
    if request.get("search_hidden") or request.get("id"):
        return []
    # The list is JSON text: a tag within quotes is the whole tag.
    return [Clause(f"instr({collection.table}.system_tags, '\"hidden\"') = 0")]


def _where(clauses: Sequence[Clause]) -> str:
    return " WHERE " + " AND ".join(f"({clause.sql})" for clause in clauses) if clauses else ""
