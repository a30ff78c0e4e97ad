"""From the filters of a ``*.get_all`` request to SQL.

Each collection has fields that a request may filter by, each in its own way; all other keys are ignored, as ClearML's
server ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timezone
from typing import Any

from clearml_hpo.server import clock
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.documents import Collection, Kind
from clearml_hpo.server.store.expressions import expression_of, words_found
from clearml_hpo.server.store.field_names import check_part
from clearml_hpo.server.store.list_filters import Group, Terms
from clearml_hpo.server.store.membership import (
    NEVER,
    Clause,
    Items,
    Scalar,
    all_terms,
    between,
    either,
    every,
    membership,
)
from clearml_hpo.server.store.patterns import compiled

_TIME_COMPARISON = re.compile(r"^(>=|<=|>|<|=)?\s*(.+)$")
_EXACT_NAME = re.compile(r"^\^((?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*)\$$")
_LARGEST = 2.0**1000
_ON_FIELDS = {"_any_": either, "_or_": either, "_all_": every, "_and_": every}


def filters(collection: Collection, request: Mapping[str, Any]) -> list[Clause]:
    """One clause per filter in the request; keys that are no filter are ignored."""
    clauses = []
    for key, value in request.items():
        if key in _ON_FIELDS:
            clauses.append(_on_fields(collection, key, value))
        elif key == "filters":
            clauses += _of_objects(collection, value)
        elif key == "search_text":
            clauses += _of_text(collection, value)
        elif value is not None and (way := _way(collection, key)) is not None:
            expression = expression_of(collection, key)
            clauses.append(way(collection, key, expression or Clause("NULL"), value))
    return clauses


# --- what is asked of one field ---------------------------------------------------------------------------------------


def _values(collection: Collection, name: str, expression: Clause, value: Any) -> Clause:
    """A list of values; a text is a list of one."""
    values = [value] if isinstance(value, str) and value else value
    if not values:
        if isinstance(values, (list, str)):
            return Clause("1")
        raise _not_texts(name, value)
    if not isinstance(values, list) or not all(item is None or isinstance(item, str) for item in values):
        raise _not_texts(name, value)
    return membership(_subject(collection, name, expression), values)


def _subject(collection: Collection, name: str, expression: Clause) -> Scalar | Items:
    is_list = collection.columns.get(name) is Kind.LIST
    return Items(f"{collection.table}.{name}") if is_list else Scalar(expression)


def _not_texts(name: str, value: Any) -> ApiRefusal:
    return ApiRefusal(Refusal.INVALID_VALUE, "invalid value type, string expected", field=name, value=f"{value!r:.200}")


def _pattern(collection: Collection, name: str, expression: Clause, value: Any) -> Clause:
    """A regular expression."""
    if not value:
        return Clause("1")
    if not isinstance(value, str):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field '{name}': a regular expression, not {value!r:.100}")
    exact = _EXACT_NAME.match(value)
    if exact:  # the SDK looks names up this way; an index answers it
        return Clause(f"{expression.sql} = ?", [re.sub(r"\\(.)", r"\1", exact.group(1))])
    compiled(value)
    return Clause(f"FITS(?, 0, {expression.sql})", [value, *expression.parameters])


def _range(collection: Collection, name: str, expression: Clause, value: Any) -> Clause:
    """``[least, most]``; a bound that is no such value as the field has fits nothing."""
    if not isinstance(value, list) or len(value) != 2:
        raise ApiRefusal(Refusal.VALIDATION, f"Min and max values should be specified for range field {name:.200}")
    read = _moment if collection.columns.get(name) is Kind.TIME else _number
    least, most = value[0], value[1]
    if least is not None:
        least = read(least)
        if least is None:
            return Clause(NEVER)
    if most is not None:
        most = read(most)
        if most is None:  # what has no value is less than anything
            return Clause(NEVER) if least is not None else Clause(f"{expression.sql} IS NULL", expression.parameters)
    return between(expression, least, most)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < _LARGEST else None


def _moment(value: Any) -> str | None:
    try:
        return clock.precise(clock.parse(value).astimezone(timezone.utc)) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _times(collection: Collection, name: str, expression: Clause, value: Any) -> Clause:
    """Comparisons such as ``">=2026-01-31"``, which must all hold; a text that is no time is ignored."""
    clauses = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            error = f"expected string or bytes-like object, got '{type(item).__name__}'"
            raise ApiRefusal(Refusal.INVALID_VALUE, "failed parsing query field", error=error, field=name)
        found = _TIME_COMPARISON.match(item)
        moment = _moment(found.group(2)) if found else None
        if found and moment:
            sql = f"{expression.sql} {found.group(1) or '='} ?"
            clauses.append(Clause(sql, [*expression.parameters, moment]))
    return every(clauses)


def _flag(collection: Collection, name: str, expression: Clause, value: Any) -> Clause:
    return Clause("1") if value == [] else Clause(f"{expression.sql} = ?", [int(bool(value))])


# --- which fields a request may filter by -----------------------------------------------------------------------------

Way = Callable[[Collection, str, Clause, Any], Clause]
_WAYS: dict[str, dict[Way, str]] = {
    "tasks": {
        _values: "id user tags system_tags type status project parent execution.queue",
        _pattern: "name comment",
        _range: "created started active_duration last_iteration",
        _times: "status_changed last_update",
    },
    "models": {
        _values: "id user tags system_tags project parent task uri framework",
        _pattern: "name comment",
        _range: "created last_iteration",
        _times: "last_update",
        _flag: "ready",
    },
    "projects": {
        _values: "id user tags system_tags parent",
        _pattern: "name basename description",
        _times: "last_update",
    },
    "queues": {_values: "id tags system_tags", _pattern: "name"},
    "users": {_values: "id", _pattern: "name"},
    "workers": {_values: "tags system_tags"},
}
_BY_NAME = {
    table: {name: way for way, names in ways.items() for name in names.split()} for table, ways in _WAYS.items()
}
# Of fields whose parts clients make up.
_BELOW: dict[str, dict[str, Way]] = {
    "tasks": {"hyperparams.": _values, "runtime.": _values, "last_metrics.": _range},
    "models": {"metadata.": _values, "last_metrics.": _range},
    "queues": {"metadata.": _values},
}


def _way(collection: Collection, name: str) -> Way | None:
    if (way := _BY_NAME[collection.table].get(name)) is not None:
        return way
    prefixes = _BELOW.get(collection.table, {})
    return next((way for prefix, way in prefixes.items() if name.startswith(prefix)), None)


# --- what is asked of several fields at once --------------------------------------------------------------------------


def _on_fields(collection: Collection, key: str, value: Any) -> Clause:
    """``{"fields": [...]}`` with ``pattern`` (a regex), ``datetime`` (comparisons) or ``values`` that they have."""
    asked = value if isinstance(value, Mapping) else {}
    fields = asked.get("fields")
    if not fields or not isinstance(fields, list) or all(asked.get(name) is None for name in _ASKED):
        error = f"incorrect field format: field={key}"
        raise ApiRefusal(Refusal.INVALID_VALUE, "failed parsing query field", error=error, field=key)
    for name in fields:
        check_part(collection, str(name))
    return _ON_FIELDS[key]([_on_field(collection, str(name), asked) for name in fields])


def _on_field(collection: Collection, name: str, asked: Mapping[str, Any]) -> Clause:
    """What is asked of one field; more than one thing must all hold."""
    expression = expression_of(collection, name) or Clause("NULL")
    given = {key: value for key in _ASKED if (value := asked.get(key)) is not None}
    return every([_ASKED[key](collection, name, expression, value) for key, value in given.items()])


def _any_case(collection: Collection, name: str, expression: Clause, value: Any) -> Clause:
    if not isinstance(value, str):
        raise ApiRefusal(Refusal.VALIDATION, "a pattern must be a string")
    if not value:
        return Clause("1")
    compiled(value, True)
    return Clause(f"FITS(?, 1, {expression.sql})", [value, *expression.parameters])


_ASKED: dict[str, Way] = {"pattern": _any_case, "datetime": _times, "values": _values}


def _of_text(collection: Collection, value: Any) -> list[Clause]:
    if not value:
        return []
    if not isinstance(value, str):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'search_text': a string, not {value!r:.100}")
    found = words_found(collection, value)
    return [Clause(f"{found.sql} > 0", found.parameters)]


def _of_objects(collection: Collection, value: Any) -> list[Clause]:
    """``filters``: ``{field: {"any": {"include", "exclude"}, "all": {...}, "op": "and" or "or"}}``."""
    if not isinstance(value, Mapping):
        raise _not_texts(str(value)[:100], value)
    return [_of_object(collection, name, asked) for name, asked in value.items() if _way(collection, name) is _values]


def _of_object(collection: Collection, name: str, asked: Any) -> Clause:
    _check_object(name, asked)
    any_of, all_of = (_listed(name, asked.get(key)) for key in ("any", "all"))
    terms = [Terms(any_of=[Group(*any_of)] if any(any_of) else []), Terms(all_of=all_of[0], none_of=all_of[1])]
    subject = _subject(collection, name, expression_of(collection, name) or Clause("NULL"))
    clauses = [all_terms(subject, each) for each in terms if each != Terms()]
    return either(clauses) if asked.get("op") == "or" else every(clauses)


def _check_object(name: str, asked: Any) -> None:
    if not isinstance(asked, Mapping):
        detail = "invalid filter for field, dictionary expected"
        raise ApiRefusal(Refusal.VALIDATION, detail, field=name, value=f"{asked!r:.100}")
    wrong = sorted(asked.keys() - {"any", "all", "op"})
    if wrong or asked.get("op") not in (None, "and", "or"):
        detail = "any, all and op ('and' or 'or') make a filter"
        raise ApiRefusal(Refusal.VALIDATION, detail, field=name, value=f"{wrong or asked['op']!r:.100}")


def _listed(name: str, asked: Any) -> Sequence[list[Any]]:
    """What to include and what to exclude."""
    given = asked if isinstance(asked, Mapping) else {} if asked is None else {"": asked}
    lists = [given.get(key) or [] for key in ("include", "exclude")]
    if given.keys() - {"include", "exclude"} or not all(_are_texts(each) for each in lists):
        detail = "lists of values to include and to exclude make a filter"
        raise ApiRefusal(Refusal.VALIDATION, detail, field=name, value=f"{asked!r:.100}")
    return lists


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(item is None or isinstance(item, str) for item in values)
