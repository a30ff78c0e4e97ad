"""Everything that can go wrong, as one small tree.

::

    ClearmlHpoError          base: catch this to catch all of them
    ├── InputError           something a user wrote is wrong: a file, an option, a name (exit code 2)
    ├── ApiError             a ClearML server refused a call (carries endpoint, code, subcode)
    ├── ServerError          the embedded server cannot start, or none answers at its address
    │   └── UnreachableError no server answers at the configured address
    ├── AgentError           agents cannot be started or stopped
    ├── GatewayError         the gateway cannot start, or its database cannot be used
    └── StudyError           the study cannot go on (exit code 1)
        └── HeldError        another controller drives it

Each message says what was wrong, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class ClearmlHpoError(Exception):
    """Base of all errors raised by this package."""


class InputError(ClearmlHpoError):
    """Something a user wrote is wrong: a file, an option, a name."""


class ApiError(ClearmlHpoError):
    """A ClearML server refused a call.

    Attributes:
        endpoint: ``service.action``, such as ``tasks.clone``.
        code: HTTP status, equal to the envelope's ``result_code``.
        subcode: ClearML's ``result_subcode``, such as 101 for an unknown task; 0 if there was none.
    """

    def __init__(self, endpoint: str, code: int, subcode: int, message: str) -> None:
        failed = "failed" if code >= 500 else "was refused"
        super().__init__(f"{endpoint} {failed} ({code}/{subcode}): {message}")
        self.endpoint = endpoint
        self.code = code
        self.subcode = subcode


class ServerError(ClearmlHpoError):
    """The embedded server cannot start, or none answers at its address."""


class UnreachableError(ServerError):
    """No server answers at the configured address, or it is in trouble."""


class AgentError(ClearmlHpoError):
    """Agents cannot be started or stopped."""


class GatewayError(ClearmlHpoError):
    """The gateway cannot start, or its database cannot be used."""


class StudyError(ClearmlHpoError):
    """The study cannot go on."""


class HeldError(StudyError):
    """Another controller drives the study."""


_TOO_MANY_REQUESTS = 429


def is_trouble(error: ApiError | UnreachableError) -> bool:
    """True if the server is in trouble (out of reach, 5xx, 429), and has not refused for good."""
    return isinstance(error, UnreachableError) or error.code >= 500 or error.code == _TOO_MANY_REQUESTS


@dataclass(frozen=True)
class Fault:
    """Something wrong with a study file that shows only beside the template.

    Attributes:
        key: where, such as ``("search_space", "General/depth")``.
        text: what.
    """

    key: tuple[str | int, ...]
    text: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.key))}: {self.text}"


_FEWEST = 3


def _is_part(found: str, name: str) -> bool:
    return len(found) >= _FEWEST and found.lower() in name.lower()


def nearest(found: str, allowed: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for a misspelt name or a part of one, or nothing if no allowed name is near."""
    names = list(allowed)
    near = difflib.get_close_matches(found, names, n=1) or [name for name in names if _is_part(found, name)]
    return f"; did you mean {near[0]!r}?" if near else ""
