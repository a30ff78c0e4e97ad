"""From dotted names to SQL: what a request filters and orders by."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.documents import Collection, Kind
from clearml_hpo.server.store.field_names import check_part, names_of_fields, no_such_field
from clearml_hpo.server.store.membership import Clause

_SEARCHED = ("id", "name", "comment", "description")
_TEXT_SCORE = "@text_score"  # a field to order by: how many of the words of search_text were found
_ALWAYS_THERE = frozenset(("id", "name", "created", "last_update"))


def check_order(collection: Collection, order_by: Any, search_text: Any = None) -> None:
    """Refuses an order of a request that ClearML refuses."""
    if not order_by:
        return
    if isinstance(order_by, str):
        # ClearML reads a text as the list of its characters where the order is of tasks.
        order_by = list(order_by) if collection.table == "tasks" else [order_by]
    for item in names_of_fields("order_by", order_by):
        name = item.removeprefix("-")
        if name == _TEXT_SCORE:
            if not search_text:
                raise ApiRefusal(Refusal.INVALID_VALUE, "@text_score is no order without search_text")
        elif item and not name:
            raise no_such_field(item)
        elif item:
            check_part(collection, name)


def ordering(collection: Collection, order_by: Any, search_text: Any = None) -> tuple[str, list[Any]]:
    """An ORDER BY list; what has no value comes last in both directions, ties in order of creation."""
    fields = order_by if isinstance(order_by, list) else [order_by] if order_by else []
    parts, parameters = [], []
    for item in fields:
        name = str(item).lstrip("-")
        is_score = name == _TEXT_SCORE and search_text
        expression = words_found(collection, search_text) if is_score else expression_of(collection, name)
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
    if "\0" in path:  # SQLite would end its text there
        return None
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


def words_found(collection: Collection, query: Any) -> Clause:
    """How many words of a ``search_text`` a document has."""
    if not isinstance(query, str):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'search_text': a string, not {query!r:.100}")
    columns = [f"{collection.table}.{name}" for name in _SEARCHED if name in collection.columns]
    return Clause(f"WORDS_IN(?, {', '.join(columns)})", [query])
