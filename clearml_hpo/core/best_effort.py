"""Work that a study does not depend on: reports, screens, notes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from clearml_hpo.core.errors import ApiError, ClearmlHpoError, HeldError, UnreachableError, is_trouble
from clearml_hpo.core.notes import Note

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class BestEffort:
    """Does such work. If some of it fails, one line tells so, and the study goes on without it."""

    def __init__(self, on_note: Callable[[str], object]) -> None:
        """``on_note`` hears the first failure of each piece of work."""
        self._on_note = on_note
        self._failed: set[str] = set()

    def attempt(self, failure: str, work: Callable[[], _Result]) -> _Result | None:
        """What ``work`` returns, or None if it failed, whatever the error.

        Args:
            failure: begins the line that tells of it, such as "the report is behind".

        Raises:
            ApiError: the server is in trouble: the work can be done later.
            UnreachableError: no server answers there.
            HeldError: another controller drives the study.
        """
        try:
            return work()
        except HeldError:
            raise
        except Exception as error:
            if isinstance(error, (ApiError, UnreachableError)) and is_trouble(error):
                raise
            if failure not in self._failed:
                self._failed.add(failure)
                _LOG.debug("%s", failure, exc_info=True)
                self._on_note(Note(f"{failure}: {reason_of(error)}", level="warning"))
            return None


def reason_of(error: Exception) -> str:
    """The message of one of this package's errors, which says enough; of others also the kind."""
    if isinstance(error, ClearmlHpoError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
