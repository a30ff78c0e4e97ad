"""From the filters of a ``*.get_all`` request to SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone
from typing import Any

from clearml_hpo.server import clock
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, Kind
from clearml_hpo.server.store.membership import Clause, Items, Scalar, interval, is_interval, membership
from clearml_hpo.server.store.patterns import compiled

PAGE_SIZE = 500
_LARGEST_PAGE = 100_000
_TIME_COMPARISON = re.compile(r"^(>=|<=|>|<|=)?\s*(.+)$")
_FIELD_CONDITIONS = {"_any_": " OR ", "_or_": " OR ", "_all_": " AND ", "_and_": " AND "}
_SEARCHED = ("id", "name", "comment", "description")
_TEXT_SCORE = "@text_score"  # a field to order by: how many of the words of search_text were found
_EXACT_NAME = re.compile(r"^\^((?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*)\$$")


@dataclass(frozen=True)
class Page:
    """Which part of the answer is wanted."""

    offset: int
    size: int
    scroll: bool

    @property
    def next_scroll_id(self) -> str:
        """Where the next call continues."""
        return scroll_id_of(self.offset + self.size)


def scroll_id_of(offset: int) -> str:
    """The state of a scroll, which is in its id; the server keeps none."""
    return f"{offset:032x}"


def offset_of(request: Mapping[str, Any]) -> int:
    """Where the scroll of a request continues, or 0 where it begins."""
    try:
        return max(0, min(int(request.get("scroll_id") or "0", 16), 2**40))
    except ValueError:
        raise ApiRefusal(Refusal.VALIDATION, "unknown scroll_id") from None


def page_of(request: Mapping[str, Any]) -> Page:
    """The page that a request asks for."""
    if request.get("size") is not None or request.get("scroll_id"):
        size, offset = _positive(request, "size", PAGE_SIZE), offset_of(request)
        if offset and request.get("refresh_scroll"):  # once more what was answered so far
            return Page(0, min(offset, _LARGEST_PAGE), scroll=True)
        return Page(offset, size, scroll=True)
    size = _positive(request, "page_size", PAGE_SIZE)
    page = request.get("page") or 0
    if not isinstance(page, int) or page < 0:
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'page': must be 0 or more")
    return Page(min(page, 2**30) * size, size, scroll=False)


def _positive(request: Mapping[str, Any], name: str, default: int) -> int:
    size = request.get(name)
    if size is None:
        return default
    if not isinstance(size, int) or size <= 0:
        raise ApiRefusal(Refusal.VALIDATION, f"error for field '{name}': must be more than 0")
    return min(size, _LARGEST_PAGE)


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
    return [collection.decode(row) for row in db.rows(sql, parameters)]


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


def filters(collection: Collection, request: Mapping[str, Any]) -> list[Clause]:
    """One clause per filter in the request; keys that are no filter are ignored."""
    clauses = []
    for key, value in request.items():
        if value is None or value == []:
            continue
        if key in _FIELD_CONDITIONS:
            clauses.append(_on_fields(collection, value, _FIELD_CONDITIONS[key]))
        elif key == "search_text":
            found = _words_found(collection, value)
            clauses.append(Clause(f"{found.sql} > 0", found.parameters))
        elif key in collection.columns:
            clauses.append(_column_filter(collection, key, value))
        elif "." in key and (expression := expression_of(collection, key)) is not None:
            clauses.append(_dotted_filter(key, expression, value))
    return clauses


def _dotted_filter(name: str, expression: Clause, value: Any) -> Clause:
    is_number = name.startswith("last_metrics.")
    return interval(expression, value) if is_number and is_interval(value) else membership(Scalar(expression), value)


def _column_filter(collection: Collection, name: str, value: Any) -> Clause:
    column = f"{collection.table}.{name}"
    kind = collection.columns[name]
    if kind is Kind.LIST:
        return membership(Items(column), value)
    if name in ("name", "basename") and isinstance(value, str):
        return _name(column, value)
    if kind is Kind.TIME:
        return _times(column, value)
    if kind is Kind.FLAG:
        return Clause(f"{column} = ?", [int(bool(value))])
    if kind is Kind.JSON:
        return Clause("1")
    if kind is Kind.INTEGER and is_interval(value):
        return interval(Clause(column), value)
    return membership(Scalar(Clause(column)), value)


def _name(column: str, pattern: str) -> Clause:
    exact = _EXACT_NAME.match(pattern)
    if exact:  # the SDK looks names up this way; an index answers it
        return Clause(f"{column} = ?", [re.sub(r"\\(.)", r"\1", exact.group(1))])
    compiled(pattern)
    return Clause(f"FITS(?, 0, {column})", [pattern])


def _on_fields(collection: Collection, value: Any, joint: str) -> Clause:
    """``{"fields": [...]}`` with ``pattern`` (a regex), ``datetime`` (comparisons) or ``values`` that they have."""
    if not isinstance(value, Mapping) or not isinstance(value.get("fields"), list):
        raise ApiRefusal(Refusal.VALIDATION, "_any_, _or_, _all_ and _and_ need fields")
    names = [str(name) for name in value["fields"] if expression_of(collection, str(name)) is not None]
    parts = [part for name in names for part in _on_field(collection, name, value)]
    if not parts:
        return Clause("1")
    return Clause(joint.join(f"({part.sql})" for part in parts), [p for part in parts for p in part.parameters])


def _on_field(collection: Collection, name: str, value: Mapping[str, Any]) -> list[Clause]:
    """What is asked of one field; more than one thing must all hold."""
    expression = expression_of(collection, name)
    assert expression is not None
    parts: list[Clause] = []
    if (pattern := value.get("pattern")) is not None:
        parts.append(_pattern(expression, pattern))
    if (moments := value.get("datetime")) is not None and collection.columns.get(name) is Kind.TIME:
        parts.append(_times(expression.sql, moments))
    if (values := value.get("values")) is not None and name in collection.columns:
        parts.append(_column_filter(collection, name, values))
    if len(parts) < 2:
        return parts
    return [Clause(" AND ".join(f"({part.sql})" for part in parts), [p for part in parts for p in part.parameters])]


def _pattern(expression: Clause, pattern: Any) -> Clause:
    if not isinstance(pattern, str):
        raise ApiRefusal(Refusal.VALIDATION, "a pattern must be a string")
    compiled(pattern, True)
    return Clause(f"FITS(?, 1, {expression.sql})", [pattern, *expression.parameters])


def _words_found(collection: Collection, query: Any) -> Clause:
    """How many words of a ``search_text`` a document has."""
    if not isinstance(query, str):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'search_text': a string, not {query!r:.100}")
    columns = [f"{collection.table}.{name}" for name in _SEARCHED if name in collection.columns]
    return Clause(f"WORDS_IN(?, {', '.join(columns)})", [query])


def _times(column: str, value: Any) -> Clause:
    """Comparisons such as ``">=2026-01-31"``; several must all hold."""
    clauses = []
    for item in value if isinstance(value, list) else [value]:
        found = _TIME_COMPARISON.match(item) if isinstance(item, str) else None
        try:
            moment = clock.precise(clock.parse(found.group(2)).astimezone(timezone.utc)) if found else ""
        except (ValueError, OverflowError):
            moment = ""
        if found is None or not moment:
            raise ApiRefusal(Refusal.VALIDATION, f"not a time comparison: {item!r}")
        clauses.append(Clause(f"{column} {found.group(1) or '='} ?", [moment]))
    return Clause(" AND ".join(c.sql for c in clauses), [p for c in clauses for p in c.parameters])


# --- Order and dotted names -------------------------------------------------------------------------------------------

_ALWAYS_THERE = frozenset(("id", "name", "created", "last_update"))


def ordering(collection: Collection, order_by: Any, search_text: Any = None) -> tuple[str, list[Any]]:
    """An ORDER BY list; what has no value comes last in both directions, ties in order of creation."""
    fields = order_by if isinstance(order_by, list) else [order_by] if order_by else []
    parts, parameters = [], []
    for item in fields:
        name = str(item).lstrip("-")
        is_score = name == _TEXT_SCORE and search_text
        expression = _words_found(collection, search_text) if is_score else expression_of(collection, name)
        if expression is None:
            continue
        collation = " COLLATE BY_NUMBER" if name.startswith("hyperparams.") else ""
        direction = " DESC" if str(item).startswith("-") else ""
        if name in _ALWAYS_THERE:
            parts.append(f"{expression.sql}{direction}")  # as an index has them
            continue
        parts.append(f"{expression.sql} IS NULL, {expression.sql}{collation}{direction}")
        parameters += expression.parameters * 2
    return ", ".join([*parts, f"{collection.table}.rowid"]), parameters


# References of tasks whose names are filtered and ordered by, and the tables where the names are.
_NAMED = {"project.name": "projects", "parent.name": "tasks"}


def expression_of(collection: Collection, path: str) -> Clause | None:
    """SQL for a dotted name, or None if the collection has nothing of that name."""
    top, _, rest = path.partition(".")
    if not rest:
        return Clause(f"{collection.table}.{top}") if top in collection.columns else None
    if path in _NAMED and collection.table == "tasks":
        return Clause(f"(SELECT named.name FROM {_NAMED[path]} named WHERE named.id = tasks.{top})")
    if top == "last_metrics":
        return _metric(collection, rest)
    if top == "hyperparams" and top in collection.columns:
        return _hyperparameter(collection, rest)
    if collection.columns.get(top) is not Kind.JSON:
        return None
    steps = "".join(f'."{step}"' for step in rest.replace('"', "").split("."))
    return Clause(f"json_extract({collection.table}.{top}, ?)", [f"${steps}"])


_METRIC_FIELDS = frozenset(
    ("value", "min_value", "max_value", "first_value", "count", "min_value_iteration", "max_value_iteration")
)


def _metric(collection: Collection, rest: str) -> Clause | None:
    """``<md5 of metric>.<md5 of variant>.value``."""
    parts = rest.split(".")
    if len(parts) != 3:
        return None
    metric, variant, name = parts
    expression = "round(total / count, 2)" if name == "mean_value" else name
    if name != "mean_value" and name not in _METRIC_FIELDS:
        return None
    return Clause(
        f"(SELECT {expression} FROM series WHERE owner = {collection.table}.id "
        "AND metric_hash = ? AND variant_hash = ?)",
        [metric, variant],
    )


def _hyperparameter(collection: Collection, rest: str) -> Clause | None:
    """``<section>.<name>.value``; the name may hold dots."""
    section, _, name = rest.removesuffix(".value").partition(".")
    if not name:
        return None
    return Clause(
        f"(SELECT json_extract(p.value, '$.value') FROM json_each({collection.table}.hyperparams) s, "
        "json_each(s.value) p WHERE s.key = ? AND p.key = ?)",
        [section, name],
    )
