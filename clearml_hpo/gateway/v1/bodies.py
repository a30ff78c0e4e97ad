"""What requests and answers of the native API hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field

from clearml_hpo.backend.imported import ImportedState
from clearml_hpo.core.values import Value

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Metric = Annotated[str, Field(pattern=r"^[^/]+(/.+)?$", max_length=400)]
_Values = Annotated[dict[_Metric, float], Field(min_length=1, max_length=100)]
_LONGEST_KEY = 200
Key = Annotated[str, Header(alias="Idempotency-Key", max_length=_LONGEST_KEY)]
"""A request that is sent again with its key is the same request, for a day."""
Whose = Literal["owner", "project"]
_LeaseS = Annotated[float, Field(ge=60, le=86_400)]
"""Bounds of a lease, in seconds."""


class Strict(BaseModel):
    """Keys that are not known are refused. NaN and infinity are numbers: JSON's ``NaN``, ``Infinity``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=True, ser_json_inf_nan="constants")


class NewStudy(Strict):
    """A study to be made: a study file without ``study``, ``project`` and ``template``, as its keys and values."""

    name: _Name
    study_file: dict[str, Any]
    if_exists: Literal["return", "error"] = "return"
    lease_s: _LeaseS = 600.0


class Change(Strict):
    """What may change of a study: whether it hands trials out."""

    state: Literal["active", "paused", "closed"]


class Worker(Strict):
    """What a worker says of itself."""

    id: Annotated[str, Field(max_length=200)] = ""
    host: Annotated[str, Field(max_length=200)] = ""
    tags: Annotated[dict[_Name, Annotated[str, Field(max_length=400)]], Field(max_length=20)] = Field(
        default_factory=dict
    )


class Ask(Strict):
    """How many trials are wanted, and by whom.

    ``wait_s``: longest wait for the first. ``resume``: the trials that ``worker.id`` has already come first.
    """

    count: Annotated[int, Field(ge=1, le=64)] = 1
    worker: Worker = Worker()
    lease_s: _LeaseS | None = None
    wait_s: Annotated[float, Field(ge=0, le=60)] = 30.0
    resume: bool = False


class Trial(Strict):
    """A trial that was handed out. Names of ``params`` and ``constants`` lack the section ``General/``."""

    trial: str
    number: int
    attempt: int
    params: dict[str, Value]
    constants: dict[str, Value]
    lease: str
    expires_at: float


class Report(Strict):
    """Scalars of one step, by ``title/series``; of those that the study looks at, the series is enough."""

    step: Annotated[int, Field(ge=0, le=2**31)]
    values: _Values


class Reports(Strict):
    """Some steps, in their order."""

    lease: str
    reports: Annotated[list[Report], Field(min_length=1, max_length=500)]


class Leased(Strict):
    """What a worker says that shows its lease."""

    lease: str


class Complete(Leased):
    """The last values, by ``title/series``."""

    values: _Values


class Fail(Leased):
    """Why a trial has failed."""

    reason: Annotated[str, Field(max_length=4096)] = ""


class ImportedTrial(Strict):
    """A trial that has ended elsewhere: a whole point, and by ``title/series`` the last values, which ``step`` has."""

    params: Annotated[dict[_Name, Value], Field(max_length=1000)]
    values: Annotated[dict[_Metric, float], Field(max_length=100)] = Field(default_factory=dict)
    state: ImportedState = "completed"
    step: Annotated[int, Field(ge=0, le=2**31)] = 0
    reason: Annotated[str, Field(max_length=4096)] = ""


class Imports(Strict):
    """Trials to be added, all or none."""

    trials: Annotated[list[ImportedTrial], Field(min_length=1, max_length=100)]


class Imported(Strict):
    """The numbers that trials have got, in their order."""

    numbers: list[int]


class Stop(Strict):
    """Why a user ends a trial."""

    reason: Annotated[str, Field(max_length=4096)] = ""


class Verdict(Strict):
    """``prune`` or ``stop``: the worker is to leave the trial; its lease ends at ``expires_at``, in seconds of 1970."""

    prune: bool
    stop: bool
    reason: str
    state: str
    expires_at: float


class Study(Strict):
    """A study, as it was last seen.

    ``idle``: the gateway does not drive it now, and opens it at the next ask; its trials are counted as it was closed,
    and not since the gateway's start.
    """

    id: str
    name: str
    state: str
    idle: bool
    controller: str
    ended: str
    trials: dict[str, int]
    best: TrialRow | None


class TrialRow(Strict):
    """A trial as a row: ``trial`` is its number, of which its latest attempt is shown."""

    number: int
    attempt: int
    state: str
    values: list[float | None]
    params: dict[str, Value]
    task: str
    worker: str
    reason: str
    started_at: float | None
    ended_at: float | None


class Page(Strict):
    """Some trials; ``next`` is what ``after`` is to be for the following ones."""

    trials: list[TrialRow]
    next: int | None


class NewToken(Strict):
    """A token to be made; default of ``valid_s`` (seconds): 30 days, or as long as the token that asks is valid."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Literal["api", "hopaas"] = "api"
    scopes: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=50)] = ["worker"]
    valid_s: Annotated[float, Field(ge=86_400, le=365 * 86_400)] | None = None


class Token(Strict):
    """A token without its text. Times are seconds of 1970; ``last_from`` is the address that used it last."""

    id: str
    kind: str
    name: str
    owner: str
    scopes: list[str]
    created: float
    expires: float
    last_used: float | None
    last_from: str
    revoked_at: float | None
    rotated_from: str


class MadeToken(Token):
    """A token that was made just now: ``token`` is its text, which is shown this one time."""

    token: str


class TokenPage(Strict):
    """Some tokens; ``next`` is what ``after`` is to be for the following ones."""

    tokens: list[Token]
    next: str | None


class Rotate(Strict):
    """How long the old token counts, in seconds."""

    overlap_s: Annotated[float, Field(ge=0, le=90 * 86_400)] = 86_400.0


class Act(Strict):
    """A line of the audit: ``user`` and ``token`` are ids, ``at`` is in seconds of 1970."""

    seq: int
    at: float
    user: str
    token: str
    what: str
    target: str
    address: str
    ok: bool


class AuditPage(Strict):
    """Some lines of the audit; ``next`` is what ``before`` is to be for the following ones."""

    acts: list[Act]
    next: int | None
