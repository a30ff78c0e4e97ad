"""The little language of list filters: ``["a", "-b"]``, ``["__$all", "a", "b", "__$not", "c"]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_ALL = frozenset(("__$all", "__$and"))
_ANY = frozenset(("__$any", "__$or"))
_NOT = "__$not"


@dataclass
class Group:
    """At least one of ``values`` is there, or one of ``negated`` is not."""

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

    Values are alternatives unless ``__$all`` (or ``__$and``) came before them; ``__$or`` starts another group of
    alternatives; ``__$not`` negates the next value; a leading ``-`` excludes.
    """
    terms = Terms()
    group: Group | None = None
    conjunctive, explicit, negate = False, False, False
    for item in items:
        if item in _ALL:
            conjunctive, group = True, None
        elif item in _ANY:
            conjunctive, explicit, group = False, True, None
        elif item == _NOT:
            negate = True
        elif isinstance(item, str) and item.startswith("-") and len(item) > 1:
            terms.none_of.append(item[1:])
        elif conjunctive or (negate and not explicit):
            (terms.none_of if negate else terms.all_of).append(item)
            negate = False
        else:
            if group is None:
                group = Group()
                terms.any_of.append(group)
            (group.negated if negate else group.values).append(item)
            negate = False
    return terms
