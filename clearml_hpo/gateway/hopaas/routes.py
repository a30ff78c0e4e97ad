"""The six routes of Hopaas: plain Starlette ones, whose bodies may have any type or none.

Success is exactly 200, as that client knows nothing else. Errors are ``{"detail": "..."}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.auth import Principal, Right
from clearml_hpo.gateway.bodies import read_object
from clearml_hpo.gateway.hopaas.setup import METRIC, TRIAL, read_set_up
from clearml_hpo.gateway.limits import LONGEST_WAIT_S, Limits
from clearml_hpo.gateway.requests import Caller, read_body
from clearml_hpo.gateway.service import ForbiddenError, NotFoundError, OpenStudy, Service, StudyRequest
from clearml_hpo.gateway.threads import Threads

_TRIAL = re.compile(r"([A-Za-z0-9_-]{43}):([0-9]{1,15})", re.ASCII)
_MOST_STEP = 2**31
_LONGEST_REASON = 4096
_LONGEST_KEY = 200
_PREFIXES = ("", "/hopaas")


class HopaasRoutes:
    """The wire of `hopaas_client` over a service."""

    def __init__(self, service: Service, caller: Caller, limits: Limits, version: str, threads: Threads) -> None:
        """``version``: what `/api/version` answers."""
        self._service = service
        self._caller = caller
        self._limits = limits
        self._version = version
        self._run = threads.run

    def routes(self) -> list[Route]:
        """All of them, below ``/api`` and ``/hopaas/api``."""
        posts = {
            "ask": self.ask,
            "should_prune": self.should_prune,
            "tell": self.tell,
            "mark_as_failed": self.mark_as_failed,
        }
        found = []
        for prefix in _PREFIXES:
            found.append(Route(f"{prefix}/api/version", self.version, methods=["GET"]))
            found.append(Route(f"{prefix}/api/get_best_trial/{{token}}", self.best, methods=["GET"]))
            found += [Route(f"{prefix}/api/{name}/{{token}}", call, methods=["POST"]) for name, call in posts.items()]
        return found

    async def version(self, request: Request) -> Response:
        """The version of this gateway, as text."""
        return PlainTextResponse(self._version)

    async def ask(self, request: Request) -> Response:
        """A trial of the study that the set-up in the body stands for."""
        who = await self._who(request)
        body = await read_body(request)
        await self._limits.wait("ask", who)
        key = request.headers.get("idempotency-key", "")[:_LONGEST_KEY]
        return _json(await self._run("ask", lambda: self._ask(who, body, key)))

    async def should_prune(self, request: Request) -> Response:
        """True if the trial is to stop, after the loss of one more step."""
        who, given = await self._of_a_trial(request)
        return _json(await self._run("report", lambda: self._report(who, given)))

    async def tell(self, request: Request) -> Response:
        """Ends a trial with its loss."""
        who, given = await self._of_a_trial(request)
        await self._run("report", lambda: self._tell(who, given))
        return Response()

    async def mark_as_failed(self, request: Request) -> Response:
        """Ends a trial without one."""
        who, given = await self._of_a_trial(request)
        await self._run("report", lambda: self._fail(who, given))
        return Response()

    async def best(self, request: Request) -> Response:
        """The best completed trial of the study of a trial."""
        who = await self._who(request)
        await self._limits.wait("report", who)
        trial = request.query_params.get(TRIAL)
        return _json(await self._run("other", lambda: self._best(who, trial)))

    async def _who(self, request: Request, *, finishes: bool = False) -> Principal:
        text = request.path_params["token"]
        if (who := self._caller.known_by_path(request, text)) is not None:
            return who
        return await self._run("report", lambda: self._caller.by_path(request, text, may_be_expired=finishes))

    async def _of_a_trial(self, request: Request) -> tuple[Principal, bytes]:
        who = await self._who(request, finishes=True)
        body = await read_body(request)
        await self._limits.wait("report", who)
        return who, body

    # --- In threads --------------------------------------------------------------------------------------------------

    def _ask(self, who: Principal, body: bytes, key: str) -> Mapping[str, Any]:
        set_up = read_set_up(read_object(body))
        suid = set_up.suid(who.project)
        request = StudyRequest(suid, set_up.study_file(who.project), set_up.canonical)
        study = self._service.open_study(who, request)
        _check(who, Right.ASK, study)
        given = self._service.ask(who, study.id, worker=set_up.tags, wait_s=LONGEST_WAIT_S, key=key)
        return {TRIAL: f"{suid}:{given.wire}", **set_up.answer(given.params)}

    def _report(self, who: Principal, body: bytes) -> bool:
        given = read_object(body)
        study, wire = self._trial(who, given.get(TRIAL), Right.REPORT)
        values = {METRIC: _loss(given)}
        return bool(self._service.report(who, study.id, wire, _step(given), values).prune)  # pruners say numpy's

    def _tell(self, who: Principal, body: bytes) -> None:
        given = read_object(body)
        study, wire = self._trial(who, given.get(TRIAL), Right.REPORT)
        self._service.tell(who, study.id, wire, {METRIC: _loss(given)})

    def _fail(self, who: Principal, body: bytes) -> None:
        given = read_object(body)
        study, wire = self._trial(who, given.get(TRIAL), Right.REPORT)
        reason = given.get("error", "")
        if not isinstance(reason, str):
            raise InputError(f"error: expected a text, found {type(reason).__name__}")
        self._service.fail(who, study.id, wire, reason[:_LONGEST_REASON])

    def _best(self, who: Principal, trial: str | None) -> str:
        study, _ = self._trial(who, trial, Right.READ)
        best = self._service.best(who, study.id)
        if best is None:
            raise NotFoundError("no completed trial")
        return f"{study.suid}:{best}"

    def _trial(self, who: Principal, trial: object, right: Right) -> tuple[OpenStudy, int]:
        found = _TRIAL.fullmatch(trial) if isinstance(trial, str) else None
        if not found:
            raise NotFoundError("no such trial")
        study = self._service.find_study(who, found[1])
        _check(who, right, study)
        return study, int(found[2])


def _check(who: Principal, right: Right, study: OpenStudy) -> None:
    if not who.rights.allow(right, study.id):
        raise ForbiddenError(f"this token has no right {right.value} here")


def _loss(given: Mapping[str, Any]) -> float:
    loss = given.get("loss")
    if isinstance(loss, bool) or not isinstance(loss, (int, float)):
        raise InputError(f"loss: expected a number, found {type(loss).__name__}")
    try:
        return float(loss)
    except OverflowError:
        raise InputError("loss: the number is too large for a float") from None


def _step(given: Mapping[str, Any]) -> int:
    step = given.get("step")
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= _MOST_STEP:
        raise InputError(f"step: expected a whole number from 0 to {_MOST_STEP}")
    return step


def _json(content: object) -> Response:
    """Starlette's own refuses NaN and Infinity, which that client's constants may be."""
    return Response(json.dumps(content, allow_nan=True), media_type="application/json")
