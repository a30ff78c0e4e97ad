"""The little language of list filters: ``["a", "-b"]``, ``["__$all", "a", "b", "__$not", "c"]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_ALL = frozenset(("__$all", "__$and"))
_ANY = frozenset(("__$any", "__$or"))
_NOT = "__$not"
_END = "__$nop"


@dataclass
class Group:
    """At least one of ``values`` is there, or none of ``negated`` is."""

    values: list[Any] = field(default_factory=list)
    negated: list[Any] = field(default_factory=list)


@dataclass
class Terms:
    """What must hold: all of, at least one of each group, none of."""

    all_of: list[Any] = field(default_factory=list)
    any_of: list[Group] = field(default_factory=list)
    none_of: list[Any] = field(default_factory=list)


def parse_terms(items: Sequence[Any]) -> Terms:
    """Reads a list filter.

    Values are alternatives unless ``__$all`` (or ``__$and``) came before them; ``__$any`` (or ``__$or``) starts another
    group of alternatives, and ``__$nop`` ends a group. ``__$not`` negates the next value, and so does a leading ``-``;
    outside of a group what is negated must not be there. None is "no value", negated or not.
    """
    terms = Terms()
    group: Group | None = None
    conjunctive, explicit, negate = False, False, False
    for item in items:
        if item in _ALL or item in _ANY or item == _END:
            conjunctive, explicit, group = item in _ALL, item in _ANY, None
            continue
        if item == _NOT:
            negate = True
            continue
        if isinstance(item, str) and item.startswith("-") and len(item) > 1:
            item, negate = item[1:], True
        negated, negate = negate and item is not None, False
        if conjunctive or (negated and not explicit):
            (terms.none_of if negated else terms.all_of).append(item)
            continue
        if group is None:
            group = Group()
            terms.any_of.append(group)
        (group.negated if negated else group.values).append(item)
    return terms
