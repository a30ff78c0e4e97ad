"""Regular expressions of clients: only those that cannot keep the server busy.

Python's matcher tries all ways in which a pattern may fit, and nothing can interrupt it. The number of ways grows
exponentially where something of varying length is repeated, as in ``(a+)+``, and with the number of alternatives and
repeats beside one another, as in ``a?a?a?`` and ``.*.*.*``. The former is refused; for the latter, the text that is
searched is cut, which short ones such as names do not feel.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal

# Its name since Python 3.11; the module is not public, but there is no other way to see how a pattern is built.
_parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

_LONGEST = 10_000
_STEPS = 10**7
_MOST_REPEATS, _MOST_WAYS = 5, 4096
_REPEATS = frozenset(("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"))


@dataclass(frozen=True)
class Pattern:
    """A pattern that may be used, and how much of a text it may look at."""

    regex: re.Pattern[str]
    reach: int

    def is_in(self, text: str) -> bool:
        """Whether the pattern fits somewhere."""
        return self.regex.search(text, 0, self.reach) is not None


@lru_cache(maxsize=512)
def compiled(pattern: str, ignore_case: bool = False) -> Pattern:
    """The pattern; refuses those that are malformed or could take too long."""
    if len(pattern) > _LONGEST:
        raise _refused(pattern, f"longer than {_LONGEST} characters")
    try:
        regex = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
        parsed = _parser.parse(pattern)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        raise _refused(pattern, str(error)) from None
    # A choice at the top, as in "^a$|^b$", is tried once; one within a sequence multiplies with those beside it.
    alternatives = parsed[0][1][1] if len(parsed) == 1 and str(parsed[0][0]) == "BRANCH" else [parsed]
    repeats, ways = 0, 1
    for each in alternatives:
        found = list(_nodes(each))
        if any(_repeats_what_varies(*node) for node in found):
            raise _refused(pattern, "what is repeated must have one length and no alternatives")
        repeats = max(repeats, sum(_is_repeat(*node) for node in found))
        ways = max(ways, math.prod(_choices(*node) for node in found))
    if repeats > _MOST_REPEATS or ways > _MOST_WAYS:
        raise _refused(pattern, "too many repeats or alternatives beside one another")
    # A search of n characters takes up to n^(k+1) / (k+1)! steps where k repeats stand beside one another.
    power = repeats + 1
    return Pattern(regex, int((_STEPS / ways * math.factorial(power)) ** (1 / power)))


def _nodes(parsed: Any) -> Iterator[tuple[str, Any]]:
    """The operations of a parsed pattern and of all its parts."""
    for operation, argument in parsed:
        yield str(operation), argument
        for part in _parts(argument):
            yield from _nodes(part)


def _parts(argument: Any) -> Iterator[Any]:
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for each in argument:
            yield from _parts(each)


def _is_repeat(operation: str, argument: Any) -> bool:
    return operation in _REPEATS and argument[1] - argument[0] > 1


def _choices(operation: str, argument: Any) -> int:
    if operation == "BRANCH":
        return len(argument[1])
    return 2 if operation in _REPEATS and argument[1] - argument[0] == 1 else 1


def _repeats_what_varies(operation: str, argument: Any) -> bool:
    if operation not in _REPEATS or argument[1] <= 1:
        return False
    shortest, longest = argument[2].getwidth()
    return bool(shortest != longest or any(name == "BRANCH" for name, _ in _nodes(argument[2])))


def _refused(pattern: str, why: str) -> ApiRefusal:
    return ApiRefusal(Refusal.VALIDATION, f"bad regular expression {pattern!r:.200}: {why}")
