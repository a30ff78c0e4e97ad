"""Free text search: which of some words a document has in its texts."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"-?\w+")


def words_in(query: str, *texts: str | None) -> int:
    """How many words of ``query`` are words of the texts, in whatever case; 0 where one with ``-`` before it is."""
    wanted, unwanted = _words(query)
    there = {word for text in texts if text for word in re.findall(r"\w+", str(text).casefold())}
    return 0 if unwanted & there else len(wanted & there)


@lru_cache(maxsize=64)
def _words(query: str) -> tuple[frozenset[str], frozenset[str]]:
    found = _WORD.findall(query.casefold())
    return (
        frozenset(word for word in found if not word.startswith("-")),
        frozenset(word[1:] for word in found if word.startswith("-")),
    )
