"""The trials that outside workers have, for the page of their study."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from clearml_hpo.core.errors import InputError
from clearml_hpo.dashboard.outside import OutsideTrial
from clearml_hpo.gateway.auth import Kind, Principal, Right, Rights
from clearml_hpo.gateway.db import Database, answers, audit, handouts, studies
from clearml_hpo.gateway.db.answers import Reported
from clearml_hpo.gateway.db.columns import now
from clearml_hpo.gateway.db.handouts import Handout
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.hosting import Hosting
from clearml_hpo.gateway.pages.gate import SessionGate
from clearml_hpo.gateway.service import NotFoundError

_NOTHING = Reported(0, {}, 0.0)
_OWNER = Rights.parse(["owner"])


class HandedOut:
    """Implements the dashboard's ``Outside``."""

    def __init__(self, hosting: Hosting, database: Database, gate: SessionGate) -> None:
        self._hosting = hosting
        self._database = database
        self._gate = gate

    def running(self, request: Request, study: str) -> Sequence[OutsideTrial]:
        """See ``Outside``; what workers say of themselves is not for viewers."""
        with self._database.read() as connection:
            row = studies.by_controllers(connection, [study]).get(study)
            if row is None:
                return ()
            out = handouts.of_study(connection, row.id, only_live=True)
            reported = answers.last_of_live(connection, row.id)
            moment = now(connection)
        is_known = self._gate.visit(request).may(Right.REPORT, row.project)
        found = [_shown(each, reported.get(each.wire, _NOTHING), row, moment, is_known=is_known) for each in out]
        return sorted(found, key=lambda each: -each.silent_s)

    def declare_failed(self, request: Request, study: str, wire: int) -> None:
        """See ``Outside``."""
        who = self._gate.visit(request).session
        with self._database.read() as connection:
            row = studies.by_controllers(connection, [study]).get(study)
        if row is None:
            raise InputError("the gateway does not hand out trials of this study")
        principal = Principal("", Kind.API, who.user, row.project, _OWNER, float("inf"))
        try:
            self._hosting.stop_trial(principal, row.id, wire, f"declared failed by {who.name}")
        except NotFoundError as error:
            raise InputError(str(error)) from None
        with self._database.write() as connection:
            target = f"{row.id}.{wire}"
            audit.note(connection, "trial declared failed", user=who.user, target=target, project=row.project)


def _shown(out: Handout, reported: Reported, study: StudyRow, moment: float, *, is_known: bool) -> OutsideTrial:
    # A report or a heartbeat renews the lease; the first one may have been of another length.
    renewed = out.leased_until - study.lease_s
    last_sign = max(out.given, reported.at, renewed if renewed <= moment else 0.0)
    worker = out.worker if is_known else {}
    return OutsideTrial(
        wire=out.wire,
        number=out.number,
        attempt=out.attempt,
        worker=str(worker.get("id") or ", ".join(f"{key}={said}" for key, said in worker.items() if key != "host")),
        host=str(worker.get("host", "")),
        steps=reported.steps,
        last=reported.last,
        silent_s=max(0.0, moment - last_sign),
        until=out.leased_until,
    )
