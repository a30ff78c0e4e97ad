"""A value among several, or a list that holds some, or a value between two: the SQL of filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clearml_hpo.server.store.documents import to_json
from clearml_hpo.server.store.list_filters import Group, Terms, parse_terms

NEVER = "0"


@dataclass
class Clause:
    """A piece of SQL with its parameters."""

    sql: str
    parameters: list[Any] = field(default_factory=list)


def every(clauses: Sequence[Clause]) -> Clause:
    """All of some clauses; none: whatever."""
    return _joint(clauses, " AND ")


def either(clauses: Sequence[Clause]) -> Clause:
    """At least one of some clauses; none: whatever."""
    return _joint(clauses, " OR ")


def _joint(clauses: Sequence[Clause], joint: str) -> Clause:
    sql = joint.join(f"({clause.sql})" for clause in clauses) or "1"
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
        """The list holds at least one of ``values``; None among them stands for an empty list."""
        clause = Clause(
            f"EXISTS (SELECT 1 FROM json_each({self._column}) item "
            "WHERE item.value IN (SELECT value FROM json_each(?)))",
            [to_json(values)],
        )
        if None in values:
            clause.sql += f" OR coalesce(json_array_length({self._column}), 0) = 0"
        return clause

    def none_of(self, values: list[Any]) -> Clause:
        """The list holds none of ``values``."""
        clause = self.one_of(values)
        return Clause(f"NOT ({clause.sql})", clause.parameters)


def membership(subject: Scalar | Items, values: list[Any]) -> Clause:
    """What a list filter asks of a value or of a list; ``terms`` has the language."""
    return all_terms(subject, parse_terms(values))


def all_terms(subject: Scalar | Items, terms: Terms) -> Clause:
    """All that some terms ask."""
    clauses = [subject.one_of([item]) for item in terms.all_of]
    clauses += [_of_group(subject, group) for group in terms.any_of]
    clauses += [subject.none_of(terms.none_of)] if terms.none_of else []
    return every(clauses)


def _of_group(subject: Scalar | Items, group: Group) -> Clause:
    parts = [subject.one_of(group.values)] if group.values else []
    parts += [subject.none_of(group.negated)] if group.negated else []
    return either(parts)


def between(expression: Clause, least: Any, most: Any) -> Clause:
    """The value is there and not below ``least``, and not above ``most``; None is open.

    A value that is missing is within bounds of which only ``most`` is given: it is less than any.
    """
    limits = [(sign, bound) for sign, bound in ((">=", least), ("<=", most)) if bound is not None]
    sql = " AND ".join(f"{expression.sql} {sign} ?" for sign, _ in limits) or "1"
    clause = Clause(sql, [parameter for _, bound in limits for parameter in (*expression.parameters, bound)])
    if least is None and most is not None:
        return either([clause, Clause(f"{expression.sql} IS NULL", expression.parameters)])
    return clause
