"""What to do when a server is in trouble: ask again, less and less often."""

from __future__ import annotations

from collections.abc import Callable

from clearml_hpo.errors import ApiError

_LONGEST_WAIT_S = 60.0
_TOO_MANY_REQUESTS = 429


class Patience:
    """How long to wait before the next round of calls.

    Attributes:
        wait_s: the poll period while all is well; twice as long after each failure, up to a minute.
    """

    def __init__(self, poll_s: float, on_note: Callable[[str], None]) -> None:
        self.wait_s = self._poll_s = poll_s
        self._on_note = on_note

    def succeeded(self) -> None:
        """The server answered."""
        self.wait_s = self._poll_s

    def failed(self, error: ApiError) -> None:
        """The server is in trouble (5xx, 429); an error of any other kind is raised again."""
        if error.code < 500 and error.code != _TOO_MANY_REQUESTS:
            raise error
        self.wait_s = min(2 * self.wait_s, max(self._poll_s, _LONGEST_WAIT_S))
        self._on_note(f"{error}; asking again in {self.wait_s:.0f} s")
