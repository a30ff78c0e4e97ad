"""When nobody asks for trials of a study any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clearml_hpo.gateway.service import UnavailableError

IDLE_S = 600.0
"""How long nobody must have asked for trials of a study until what is ready is given up, and the study is closed."""
_AGAIN_S = 5.0
"""After how long a client comes again whose study is being closed."""


class IdleError(UnavailableError):
    """The host has let go of its study, for which nobody had asked: another one is to be made."""


class Idling:
    """Knows who asks now, and when somebody last did. Any thread may call it.

    Attributes:
        is_over: whether it was let go of; nobody can ask from then on.
        has_given_up: whether what was ready was given up since somebody last asked; who lets go sets it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` has seconds; the time begins now."""
        self.is_over = False
        self.has_given_up = False
        self._clock = clock
        self._lock = threading.Lock()
        self._users = 0
        self._used_at = clock()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Somebody asks. Raises IdleError: it was let go of."""
        with self._lock:
            if self.is_over:
                raise IdleError("the study is being closed", _AGAIN_S)
            self._users += 1
            self.has_given_up = False
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = self._clock()

    def let_go(self, is_free: Callable[[], bool]) -> bool:
        """Whether it is let go of, now or before: nobody has asked for 10 minutes, and ``is_free`` says so.

        Nobody can ask while ``is_free`` looks; what it raises is raised.
        """
        with self._lock:
            if not self.is_over and not self._users and self._clock() - self._used_at >= IDLE_S:
                self.is_over = is_free()
            return self.is_over
