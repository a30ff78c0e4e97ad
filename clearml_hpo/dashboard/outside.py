"""Trials that outside workers have: what the page of a study shows of them, whoever hands them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request


@dataclass(frozen=True)
class OutsideTrial:
    """A trial that an outside worker runs.

    Attributes:
        wire: the number that the worker knows it by; another one for each attempt.
        number: of the trial in its study.
        worker, host: what the worker says of itself; empty if nothing, or if the visitor may not know.
        steps: how many it has reported.
        last: its last scalars by metric, ``title/series``.
        silent_s: since its last sign of life, in seconds.
        until: when its lease ends, in seconds since 1970.
    """

    wire: int
    number: int
    attempt: int
    worker: str
    host: str
    steps: int
    last: Mapping[str, float]
    silent_s: float
    until: float


class Outside(Protocol):
    """Who hands trials out."""

    def running(self, request: Request, study: str) -> Sequence[OutsideTrial]:
        """Those that run, the most silent first; none of a study that is not handed out. ``study``: a task's id."""
        ...

    def declare_failed(self, request: Request, study: str, wire: int) -> None:
        """Ends a trial. Raises InputError: there is none of this number."""
        ...
