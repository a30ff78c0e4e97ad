"""A value among several, or a list that holds some: the SQL of list filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.documents import to_json
from clearml_hpo.server.store.terms import Terms, parse_terms


@dataclass
class Clause:
    """A piece of SQL with its parameters."""

    sql: str
    parameters: list[Any] = field(default_factory=list)


def every(clauses: Sequence[Clause]) -> Clause:
    """All of some clauses; none: whatever."""
    sql = " AND ".join(f"({clause.sql})" for clause in clauses) or "1"
    return Clause(sql, [parameter for clause in clauses for parameter in clause.parameters])


class Scalar:
    """A value is one of ..."""

    def __init__(self, expression: Clause) -> None:
        self._expression = expression

    def one_of(self, values: list[Any]) -> Clause:
        """The value is among ``values``; None among them stands for no value."""
        sql, parameters = self._expression.sql, self._expression.parameters
        if len(values) == 1 and isinstance(values[0], str):  # an index that orders, too, answers this alone
            return Clause(f"{sql} = ?", [*parameters, values[0]])
        known = [value for value in values if value is not None]
        clause = Clause(f"{sql} IN (SELECT value FROM json_each(?))", [*parameters, to_json(known)])
        if len(known) == len(values):
            return clause
        return Clause(f"{clause.sql} OR {sql} IS NULL", [*clause.parameters, *parameters])

    def none_of(self, values: list[Any]) -> Clause:
        """The value is not among ``values``, or there is none."""
        clause = self.one_of(values)
        return Clause(f"coalesce(NOT ({clause.sql}), 1)", clause.parameters)


class Items:
    """A list holds ..."""

    def __init__(self, column: str) -> None:
        self._column = column

    def one_of(self, values: list[Any]) -> Clause:
        """The list holds at least one of ``values``."""
        return Clause(
            f"EXISTS (SELECT 1 FROM json_each({self._column}) item "
            "WHERE item.value IN (SELECT value FROM json_each(?)))",
            [to_json(values)],
        )

    def none_of(self, values: list[Any]) -> Clause:
        """The list holds none of ``values``."""
        clause = self.one_of(values)
        return Clause(f"NOT {clause.sql}", clause.parameters)


def membership(subject: Scalar | Items, value: Any) -> Clause:
    """What a list filter asks of a value or of a list; ``terms`` has the language."""
    values = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, (str, int)) or _is_finite(item) for item in values):
        raise ApiRefusal(Refusal.VALIDATION, "a filter must be a value or a list of values")
    terms: Terms = parse_terms(values)
    clauses = [subject.one_of([item]) for item in terms.all_of]
    for group in terms.any_of:
        either = [subject.one_of(group.values)] if group.values else []
        either += [subject.none_of([item]) for item in group.negated]
        clauses.append(
            Clause("(" + " OR ".join(c.sql for c in either) + ")", [p for c in either for p in c.parameters])
        )
    if terms.none_of:
        clauses.append(subject.none_of(list(terms.none_of)))
    if not clauses:
        return Clause("1")
    return Clause(" AND ".join(f"({c.sql})" for c in clauses), [p for c in clauses for p in c.parameters])


def is_interval(value: Any) -> bool:
    """Whether a filter of numbers is ``[lowest, highest]``, of which one may be open (None)."""
    if not isinstance(value, list) or len(value) != 2 or value == [None, None]:
        return False
    return all(item is None or (isinstance(item, (int, float)) and not isinstance(item, bool)) for item in value)


def interval(expression: Clause, bounds: list[Any]) -> Clause:
    """The value is there, and not below the one nor above the other bound."""
    limits = [(sign, bound) for sign, bound in zip((">=", "<="), bounds, strict=True) if bound is not None]
    sql = " AND ".join(f"{expression.sql} {sign} ?" for sign, _ in limits)
    return Clause(sql, [parameter for _, bound in limits for parameter in (*expression.parameters, bound)])


def _is_finite(item: Any) -> bool:
    return isinstance(item, float) and math.isfinite(item)
