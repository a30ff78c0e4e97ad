"""Studies and trials over the native API."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from clearml_hpo.backend.imported import Finished
from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.core.values import DEFAULT_SECTION, Params
from clearml_hpo.executors.outside import OUTSIDE
from clearml_hpo.gateway.auth import Principal, RefusedTokenError, Right, Tokens
from clearml_hpo.gateway.db.handouts import STOPS, Handout, State
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.feed import Feed
from clearml_hpo.gateway.host import Host
from clearml_hpo.gateway.hosting import Hosting, Rest
from clearml_hpo.gateway.limits import Limits
from clearml_hpo.gateway.requests import Caller
from clearml_hpo.gateway.service import (
    ConflictError,
    ForbiddenError,
    LimitError,
    NotFoundError,
    StudyRequest,
    UnavailableError,
)
from clearml_hpo.gateway.threads import Threads
from clearml_hpo.gateway.v1 import bodies
from clearml_hpo.gateway.v1.access import Access, BoundedRoute, check_right
from clearml_hpo.gateway.v1.bodies import Key
from clearml_hpo.gateway.v1.events import EventStream, Streams, last_event
from clearml_hpo.gateway.v1.leases import Leases
from clearml_hpo.gateway.v1.names import suid_of
from clearml_hpo.gateway.v1.problems import PREFIX
from clearml_hpo.gateway.v1.rows import bare, trial_row
from clearml_hpo.gateway.v1.tokens import token_routes

_TRIAL = re.compile(r"(?P<study>[0-9a-f]{1,40})\.(?P<wire>[0-9]{1,15})", re.ASCII)
_TITLE = "trial"
"""Title of scalars that workers report without one."""
_FIXED = ("study", "project", "template")


def routes(
    hosting: Hosting,
    caller: Caller,
    limits: Limits,
    threads: Threads,
    *,
    leases: Leases,
    tokens: Tokens,
    streams: Streams,
) -> APIRouter:
    """All of them; each needs ``Authorization: Bearer``."""
    router = APIRouter(prefix=PREFIX, route_class=BoundedRoute)
    api = _Api(hosting, leases)
    access = Access(caller, limits, threads)
    who = access.who
    router.include_router(token_routes(hosting, tokens, access, threads))

    @router.post("/projects/{project}/studies", status_code=201, response_model=bodies.Study)
    async def make_study(request: Request, project: str, body: bodies.NewStudy, response: Response) -> Any:
        """Makes a study, or returns the one of this name."""
        caller_ = await who(request)
        study, is_new = await threads.run("other", lambda: api.make(caller_, project, body))
        response.status_code = 201 if is_new else 200
        return study

    @router.post("/projects/{project}/studies:validate")
    async def validate(request: Request, project: str, body: bodies.NewStudy) -> dict[str, Any]:
        """Says what is wrong with a study file; makes nothing."""
        caller_ = await who(request)
        return await threads.run("other", lambda: api.validate(caller_, project, body))

    @router.get("/projects/{project}/studies", response_model=list[bodies.Study])
    async def list_studies(request: Request, project: str) -> Any:
        """The studies of a project, the newest first."""
        caller_ = await who(request)
        return await threads.run("other", lambda: api.studies(caller_, project))

    @router.get("/studies/{study}", response_model=bodies.Study)
    async def get_study(request: Request, study: str) -> Any:
        """A study, as it was last seen."""
        caller_ = await who(request)
        return await threads.run("other", lambda: api.study(caller_, study))

    @router.patch("/studies/{study}", response_model=bodies.Study)
    async def change_study(request: Request, study: str, body: bodies.Change) -> Any:
        """Pauses or closes a study, or has it hand trials out again."""
        caller_ = await who(request)
        return await threads.run("other", lambda: api.change(caller_, study, body))

    @router.post("/studies/{study}/trials:ask", response_model=list[bodies.Trial])
    async def ask(request: Request, study: str, body: bodies.Ask, key: Key = "") -> Any:
        """Hands trials out; fewer than ``count`` may come."""
        caller_ = await who(request, "ask")
        return await threads.run("ask", lambda: api.ask(caller_, study, body, key))

    @router.get("/studies/{study}/trials", response_model=bodies.Page)
    async def list_trials(
        request: Request,
        study: str,
        after: Annotated[int, Query(ge=-1)] = -1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        state: str = "",
    ) -> Any:
        """Trials by number, a page at a time."""
        caller_ = await who(request)
        return await threads.run("other", lambda: api.trials(caller_, study, after, limit, state))

    @router.post("/studies/{study}/trials", status_code=201, response_model=bodies.Imported)
    async def import_trials(request: Request, study: str, body: bodies.Imports, key: Key = "") -> Any:
        """Adds trials that have ended elsewhere: each gets a task, and the sampler learns of it."""
        caller_ = await who(request, "import")
        return await threads.run("import", lambda: api.import_trials(caller_, study, body, key))

    @router.get("/studies/{study}/best", response_model=bodies.TrialRow)
    async def best(request: Request, study: str) -> Any:
        """The best completed trial."""
        caller_ = await who(request)
        return await threads.run("other", lambda: api.best(caller_, study))

    @router.get("/studies/{study}/importances")
    async def importances(request: Request, study: str) -> list[dict[str, float]]:
        """How much each objective depends on each parameter, as shares; none while too few trials have ended."""
        caller_ = await who(request)
        host = await threads.run("other", lambda: api.seen(caller_, study))
        return await threads.run("report", lambda: api.importances(host))

    @router.get("/studies/{study}/trials.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    async def trials_csv(request: Request, study: str) -> Response:
        """All trials as CSV, safe to open in a spreadsheet."""
        caller_ = await who(request)
        host = await threads.run("other", lambda: api.seen(caller_, study))
        return Response(await threads.run("report", lambda: host.reading.csv), media_type="text/csv")

    @router.get(
        "/studies/{study}/events",
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        request: Request, study: str, last: Annotated[str, Header(alias="Last-Event-ID", max_length=40)] = ""
    ) -> Response:
        """Server-sent events: all trials, or those changed after ``Last-Event-ID``; then each whenever it changes."""
        caller_ = await who(request)
        feed = await threads.run("other", lambda: api.follow(caller_, study))
        streams.check(caller_.token)

        async def counts() -> bool:
            found = caller.known_by_header(request)
            if found is None:
                try:
                    found = await threads.run("report", lambda: caller.by_header(request))
                except (RefusedTokenError, GatewayError):
                    return False
            return found.rights.allow(Right.READ, study)

        return EventStream(
            streams,
            feed,
            token=caller_.token,
            after=last_event(last),
            ended=lambda: hosting.end_of(study),
            counts=counts,
        )

    @router.post("/trials/{trial}/reports", response_model=bodies.Verdict)
    async def report(request: Request, trial: str, body: bodies.Reports) -> Any:
        """Takes scalars in, renews the lease, and says whether to stop."""
        caller_ = await who(request, finishes=True)
        return await threads.run("report", lambda: api.report(caller_, trial, body))

    @router.post("/trials/{trial}:heartbeat", response_model=bodies.Verdict)
    async def heartbeat(request: Request, trial: str, body: bodies.Leased) -> Any:
        """Renews the lease, and says whether to stop."""
        caller_ = await who(request, finishes=True)
        return await threads.run("report", lambda: api.heartbeat(caller_, trial, body))

    @router.post("/trials/{trial}:complete", response_model=bodies.Verdict)
    async def complete(request: Request, trial: str, body: bodies.Complete) -> Any:
        """Ends a trial with its values; the same values again change nothing, others are refused (409)."""
        caller_ = await who(request, finishes=True)
        return await threads.run("report", lambda: api.complete(caller_, trial, body))

    @router.post("/trials/{trial}:fail", response_model=bodies.Verdict)
    async def fail(request: Request, trial: str, body: bodies.Fail) -> Any:
        """Ends a trial as failed."""
        caller_ = await who(request, finishes=True)
        return await threads.run("report", lambda: api.fail(caller_, trial, body))

    @router.post("/trials/{trial}:stop", response_model=bodies.Verdict)
    async def stop(request: Request, trial: str, body: bodies.Stop) -> Any:
        """Ends a trial of somebody else; its worker hears of it when it reports next."""
        caller_ = await who(request)
        return await threads.run("report", lambda: api.stop(caller_, trial, body))

    return router


class _Api:
    """What the routes do, in threads."""

    def __init__(self, hosting: Hosting, leases: Leases) -> None:
        self._hosting = hosting
        self._leases = leases

    # --- studies -----------------------------------------------------------------------------------------------------

    def make(self, who: Principal, project: str, body: bodies.NewStudy) -> tuple[bodies.Study, bool]:
        self._check(who, Right.READ, project=project)
        suid = suid_of(body.name)
        try:
            found = self._hosting.find_study(who, suid)
        except NotFoundError:
            request = StudyRequest(suid, _study_file(body), "", body.lease_s)
            made = self._hosting.open_study(who, request)
            return self.study(who, made.id), True
        if body.if_exists == "error":
            raise ConflictError(f"the study {body.name!r} exists already: {found.id}")
        return self.study(who, found.id), False

    def validate(self, who: Principal, project: str, body: bodies.NewStudy) -> dict[str, Any]:
        self._check(who, Right.READ, project=project)
        try:
            self._hosting.check_file(who, _study_file(body))
        except InputError as error:
            return {"sound": False, "faults": str(error).splitlines()}
        return {"sound": True, "faults": []}

    def studies(self, who: Principal, project: str) -> list[bodies.Study]:
        self._check(who, Right.READ, project=project)
        return [self._shown(row) for row in self._hosting.studies(who)]

    def study(self, who: Principal, study: str) -> bodies.Study:
        self._check(who, Right.READ, study)
        return self._shown(self._hosting.row(who, study))

    def change(self, who: Principal, study: str, body: bodies.Change) -> bodies.Study:
        self._check(who, Right.ADMIN, study)
        self._hosting.set_state(who, study, body.state)
        return self.study(who, study)

    def trials(self, who: Principal, study: str, after: int, limit: int, state: str) -> bodies.Page:
        self._check(who, Right.READ, study)
        found = [
            trial
            for trial in self._hosting.seen_host(who, study).trials
            if trial.number > after and state in ("", trial.state.value)
        ]
        page = found[:limit]
        return bodies.Page(trials=[trial_row(trial) for trial in page], next=page[-1].number if found[limit:] else None)

    def import_trials(self, who: Principal, study: str, body: bodies.Imports, key: str) -> bodies.Imported:
        self._check(who, Right.REPORT, study)
        metrics = self._hosting.host(who, study).reading.metrics
        given = [
            (each.params, Finished(each.state, _full(each.values, metrics), each.step, each.reason))
            for each in body.trials
        ]
        numbers = self._hosting.import_trials(who, study, given, key=key, body=body.model_dump_json())
        return bodies.Imported(numbers=[*numbers])

    def best(self, who: Principal, study: str) -> bodies.TrialRow:
        self._check(who, Right.READ, study)
        best = self._hosting.seen_host(who, study).best_now()
        if best is None:
            raise NotFoundError("no completed trial")
        return trial_row(best)

    def seen(self, who: Principal, study: str) -> Host:
        self._check(who, Right.READ, study)
        return self._hosting.seen_host(who, study)

    def importances(self, host: Host) -> list[dict[str, float]]:
        return [
            {name.removeprefix(f"{DEFAULT_SECTION}/"): share for name, share in shares.items()}
            for shares in host.reading.importances
        ]

    def follow(self, who: Principal, study: str) -> Feed:
        self._check(who, Right.READ, study)
        return self._hosting.follow(who, study)

    def _shown(self, row: StudyRow) -> bodies.Study:
        host, rest = self._hosting.open_host(row.id), self._hosting.rest(row.id)
        if host is not None:
            rest = Rest(Counter(trial.state.value for trial in host.trials), host.reading.best, host.ended)
        best = rest.best if rest is not None else None
        return bodies.Study(
            id=row.id,
            name=row.name,
            state=row.state,
            idle=host is None,
            controller=host.study.controller if host is not None else row.controller,
            ended=rest.ended if rest is not None else "",
            trials=dict(rest.counts) if rest is not None else {},
            best=trial_row(best) if best is not None else None,
        )

    # --- trials ------------------------------------------------------------------------------------------------------

    def ask(self, who: Principal, study: str, body: bodies.Ask, key: str) -> list[bodies.Trial]:
        self._check(who, Right.ASK, study)
        host = self._hosting.host(who, study)
        worker = {"id": body.worker.id, "host": body.worker.host, **body.worker.tags}
        worker = {name: value for name, value in worker.items() if value}
        given: list[tuple[int, int, int, Params, float]] = []
        if body.resume and body.worker.id:
            for handout in host.handing.handed_out(only_live=True):
                trial = host.live_trial(handout.task)
                if (handout.token, handout.worker.get("id")) == (who.token, body.worker.id) and trial is not None:
                    given.append((handout.wire, handout.number, handout.attempt, trial.params, handout.leased_until))
        while len(given) < body.count:
            try:
                one = self._hosting.ask(
                    who,
                    study,
                    worker=worker,
                    wait_s=0.0 if given else body.wait_s,
                    key=f"{key}#{len(given)}" if key else "",
                    lease_s=body.lease_s,
                )
            except (ConflictError, LimitError, UnavailableError):
                if not given:
                    raise
                break
            given.append((one.wire, one.number, one.attempt, one.params, one.expires))
        constants = bare(host.reading.constants)
        return [
            bodies.Trial(
                trial=f"{study}.{wire}",
                number=number,
                attempt=attempt,
                params=bare(params),
                constants=constants,
                lease=self._leases.of(study, wire, who.token),
                expires_at=expires,
            )
            for wire, number, attempt, params, expires in given[: max(body.count, 1)]
        ]

    def report(self, who: Principal, trial: str, body: bodies.Reports) -> bodies.Verdict:
        study, wire = self._leased(who, trial, body.lease)
        for each in body.reports:
            values = _full(each.values, self._hosting.host(who, study).reading.metrics)
            if self._hosting.report(who, study, wire, each.step, values).prune:
                break
        return self._verdict(who, study, wire)

    def heartbeat(self, who: Principal, trial: str, body: bodies.Leased) -> bodies.Verdict:
        study, wire = self._leased(who, trial, body.lease)
        self._hosting.renew(who, study, wire)
        return self._verdict(who, study, wire)

    def complete(self, who: Principal, trial: str, body: bodies.Complete) -> bodies.Verdict:
        study, wire = self._leased(who, trial, body.lease)
        metrics = self._hosting.host(who, study).reading.metrics
        values = _full(body.values, metrics)
        if not {*values} & {*metrics}:
            raise InputError(f"values: found {', '.join(values)}; the study looks at {', '.join(metrics)}")
        self._hosting.tell(who, study, wire, values)
        told = self._hosting.handout(who, study, wire)
        if told.state in (State.DONE, State.LATE) and json.dumps(told.outcome, sort_keys=True) != json.dumps(
            values, sort_keys=True
        ):
            raise ConflictError("the trial is complete with other values")
        return self._verdict(who, study, wire)

    def fail(self, who: Principal, trial: str, body: bodies.Fail) -> bodies.Verdict:
        study, wire = self._leased(who, trial, body.lease)
        self._hosting.fail(who, study, wire, body.reason)
        return self._verdict(who, study, wire)

    def stop(self, who: Principal, trial: str, body: bodies.Stop) -> bodies.Verdict:
        study, wire = _ids(trial)
        self._check(who, Right.ADMIN_TRIALS, study)
        self._hosting.stop_trial(who, study, wire, body.reason or "stopped over the API")
        return self._verdict(who, study, wire)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _check(self, who: Principal, right: Right, study: str = "", project: str | None = None) -> None:
        if project is not None and not self._hosting.is_project(who, project):
            raise NotFoundError("no such project")
        check_right(who, right, study)

    def _leased(self, who: Principal, trial: str, lease: str) -> tuple[str, int]:
        study, wire = _ids(trial)
        handout = self._hosting.handout(who, study, wire)
        self._check(who, Right.REPORT, study)
        if not self._leases.fits(lease, handout):
            raise ForbiddenError("this is not the lease of that trial")
        return study, wire

    def _verdict(self, who: Principal, study: str, wire: int) -> bodies.Verdict:
        handout: Handout = self._hosting.handout(who, study, wire)
        is_pruned = handout.state is State.PRUNED
        return bodies.Verdict(
            prune=is_pruned,
            stop=STOPS.get(handout.state, False) and not is_pruned,
            reason=handout.reason,
            state=handout.state.value,
            expires_at=handout.leased_until,
        )


def _study_file(body: bodies.NewStudy) -> Mapping[str, Any]:
    for key in _FIXED:
        if key in body.study_file:
            raise InputError(f"study_file.{key}: the gateway sets it; give the name as name")
    try:
        yaml.safe_dump(body.study_file)
    except yaml.YAMLError as error:
        raise InputError(f"study_file: it cannot be kept: {error}") from None
    execution = body.study_file.get("execution") or {}
    if not isinstance(execution, dict):
        raise InputError(f"study_file.execution: expected an object, found {type(execution).__name__}")
    fixed = {"study": body.name, "template": {"outside": True}, "execution": {**execution, "queue": OUTSIDE}}
    return {**body.study_file, **fixed}


def _ids(trial: str) -> tuple[str, int]:
    found = _TRIAL.fullmatch(trial)
    if found is None:
        raise NotFoundError("no such trial")
    return found["study"], int(found["wire"])


def _full(values: Mapping[str, float], known: Collection[str]) -> dict[str, float]:
    """By ``title/series``; a name without a title is that of a scalar of the goal, if one has it as its series."""

    def full(name: str) -> str:
        return name if "/" in name else next((m for m in known if m.endswith(f"/{name}")), f"{_TITLE}/{name}")

    return {full(name): value for name, value in values.items()}
