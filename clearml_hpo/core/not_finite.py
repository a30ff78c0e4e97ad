"""The policy for NaN and infinity, which no ClearML server takes: the SDK sends 0 in their place.

Such a 0 looks like the best loss of all. So a 0 of a trial whose console says that the SDK has replaced a value counts
as NaN: it is no value of its trial, no sampler and no pruner sees it, and no budget ends at it. Every other value
counts, also one that the script has chosen with ``Logger.set_reporting_nan_value``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

_NAMED = re.compile(r"Not finite: (\"(?:[^\"\\]|\\.)*\") is \S+, reported as '([^']*)'")  # startup/sitecustomize.py
_UNNAMED = re.compile(r"(?:NaN|inf) value encountered\. Reporting it as '([^']*)'")  # the SDK
_ANY = "*"
_LONGEST = 2_000  # characters of such a line

Curve = Sequence[tuple[int, float]]
"""Reported ``(iteration, value)``."""


def may_be_replaced(value: float | None) -> bool:
    """True for the number that the SDK sends in place of NaN and infinity."""
    return value == 0


@dataclass(frozen=True)
class Replaced:
    """What a console says of replaced values: ``metric in replaced`` is whether a 0 of that scalar counts as NaN.

    Attributes:
        metrics: scalars, ``title/series``, of which some value was replaced by 0.
        is_any: True if it may be any scalar, because the console does not name them (a plain agent's trial).
    """

    metrics: frozenset[str] = frozenset()
    is_any: bool = False

    def __contains__(self, metric: str) -> bool:
        return self.is_any or metric in self.metrics

    @classmethod
    def told_by(cls, console: Iterable[str]) -> Replaced:
        """From the lines of a console, several of which may be one text."""
        named: set[str] = set()
        names_scalars = is_unnamed = False
        end = ""
        for text in console:
            end, text = text[-_LONGEST:], end + text  # a long output is sent in pieces, which may cut a line
            for name, sent in _NAMED.findall(text):
                names_scalars = True
                if _is_zero(sent):
                    named.add(_read(name))
            is_unnamed |= any(_is_zero(sent) for sent in _UNNAMED.findall(text))
        return cls(frozenset(named - {_ANY}), _ANY in named or (is_unnamed and not names_scalars))


def finite_points(curve: Curve, metric: str, not_finite: Collection[str]) -> Curve:
    """The points of a curve that count, if the scalars ``not_finite`` had values replaced."""
    return [point for point in curve if not may_be_replaced(point[1])] if metric in not_finite else curve


def _read(name: str) -> str:
    try:
        return str(json.loads(name))
    except ValueError:  # a script has printed a line like ours
        return _ANY


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False
