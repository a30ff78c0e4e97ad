"""Regular expressions of clients, matched by RE2: in time that grows with the text, whatever the pattern."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from clearml_hpo.server.errors import ApiRefusal, Refusal

_LONGEST = 10_000
_REACH = 1_000_000  # characters of a text that are looked at


@dataclass(frozen=True)
class Pattern:
    """A pattern that may be used."""

    regex: Any

    def is_in(self, text: str) -> bool:
        """Whether the pattern fits somewhere."""
        return self.regex.search(text[:_REACH]) is not None


@lru_cache(maxsize=512)
def compiled(pattern: str, ignore_case: bool = False) -> Pattern:
    """The pattern; refuses those that are malformed, too large, or look around or back (which RE2 does not)."""
    if len(pattern) > _LONGEST:
        raise _refused(pattern, f"longer than {_LONGEST} characters")
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    try:
        return Pattern(re2.compile(pattern, options))
    except re2.error as error:
        why = error.args[0] if error.args else ""
        raise _refused(pattern, why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from None


def _refused(pattern: str, why: str) -> ApiRefusal:
    return ApiRefusal(Refusal.BAD_PATTERN, f"{pattern!r:.200}: {why}")
