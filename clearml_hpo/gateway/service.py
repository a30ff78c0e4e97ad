"""What the wires call: one service for the routes of Hopaas and for the native API.

A wire checks tokens, bounds and forms; a service knows studies and trials. Everything here may be called by any thread.
What a call returns is stored: nothing is promised that a crash forgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.core.values import Params
from clearml_hpo.gateway.auth import Principal

LEASE_S = 86_400.0
"""Lease of a hand-out where nothing else is asked: the Hopaas client has no heartbeat."""


class ServiceError(ClearmlHpoError):
    """A service does not do what it was asked; the message is for the client.

    Attributes:
        retry_s: after how many seconds the client may ask again; None if that is of no use.
    """

    def __init__(self, message: str, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class ForbiddenError(ServiceError):
    """The token may not do this."""


class NotFoundError(ServiceError):
    """There is no such study or trial in the project of the token; another project's is as unknown as none."""


class ConflictError(ServiceError):
    """The study is closed, paused or exhausted, or another controller drives it."""


class LimitError(ServiceError):
    """A limit of the token or the project is reached."""


class UnavailableError(ServiceError):
    """Nothing can be given now: no trial was ready in time, or a server is away."""


@dataclass(frozen=True)
class StudyRequest:
    """A study that a client wants to work on.

    Attributes:
        suid: how clients know it, unique in a project.
        file: its study file as plain data, without ``project``: the service adds the ClearML project.
        set_up: what the database keeps of it, as text.
        lease_s: how long a hand-out lives without a sign of life, in seconds.
    """

    suid: str
    file: Mapping[str, Any] = field(repr=False)
    set_up: str = field(repr=False)
    lease_s: float = LEASE_S


@dataclass(frozen=True)
class OpenStudy:
    """A study of the gateway: its id there, and its suid."""

    id: str
    suid: str


@dataclass(frozen=True)
class Given:
    """A trial that was handed out.

    Attributes:
        wire: the number that the client knows it by, see ``handouts.wire_number``.
        params: its parameters by full names.
        expires: end of the lease, in seconds since 1970.
    """

    wire: int
    number: int
    attempt: int
    params: Params
    expires: float


@dataclass(frozen=True)
class Verdict:
    """What a worker is told after a report: to stop or not, and a reason for users."""

    prune: bool
    reason: str = ""


class Service(Protocol):
    """Studies and trials. ``who`` is whom a request is from; its token and its rights were checked by the wire.

    All methods raise UnavailableError if what they need is away. Those that take a study raise NotFoundError if it is
    none of the project of ``who``. If ``who.is_expired``, only trials that were given to that very token can be
    reported, told and failed; all others are not found.
    """

    def open_study(self, who: Principal, request: StudyRequest) -> OpenStudy:
        """The project's study of this suid; it is made if there is none.

        Raises:
            InputError: the study file is not sound.
            ForbiddenError: it would have to be made, and ``who`` has no right ``studies:create``.
            LimitError: the project has made as many studies today as it may.
        """
        ...

    def find_study(self, who: Principal, suid: str) -> OpenStudy:
        """The project's study of this suid. Raises NotFoundError."""
        ...

    def ask(self, who: Principal, study: str, *, worker: Mapping[str, Any], wait_s: float, key: str = "") -> Given:
        """Hands a trial out.

        Args:
            study: id.
            worker: what the worker says of itself.
            wait_s: longest wait for a trial, in seconds.
            key: the same token and key get the same trial again; empty: always a new one.

        Raises:
            ConflictError: the study gives no trials any more, or for now.
            LimitError: the token has as many running trials as it may.
            UnavailableError: none was ready in time.
        """
        ...

    def report(self, who: Principal, study: str, wire: int, step: int, values: Mapping[str, float]) -> Verdict:
        """Takes the value of a step, renews the lease and judges.

        A step that was reported before gets the answer that it got. A trial that has ended is answered by its end.

        Args:
            step: 0 to 2**31.
            values: by metric, ``title/series``; NaN and infinity are taken.

        Raises:
            NotFoundError: there is no such trial.
            LimitError: it has reported as many steps as it may.
        """
        ...

    def tell(self, who: Principal, study: str, wire: int, values: Mapping[str, float]) -> None:
        """Ends a trial with its values by metric; one that has ended stays as it is. Raises NotFoundError."""
        ...

    def fail(self, who: Principal, study: str, wire: int, reason: str) -> None:
        """Ends a trial as failed; one that has ended stays as it is. Raises NotFoundError."""
        ...

    def best(self, who: Principal, study: str) -> int | None:
        """The number on the wire of the best completed trial; None if none is completed."""
        ...

    def faults(self) -> Sequence[str]:
        """What is not as it should be, one line each, such as an outbox that is far behind; empty if all is well."""
        ...
