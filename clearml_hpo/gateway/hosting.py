"""The service of one process: a host for each study that outside workers ask for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from weakref import WeakValueDictionary

import sqlalchemy as sa
import yaml

from clearml_hpo.core.errors import GatewayError
from clearml_hpo.gateway.auth import Principal, Right
from clearml_hpo.gateway.db import accounts, answers, handouts, idempotency, outbox, studies
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.gateway.db.idempotency import Kept
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.host import Given as HostGiven
from clearml_hpo.gateway.host import Host, NothingToGive, UnknownTrial, is_to_stop
from clearml_hpo.gateway.service import (
    ConflictError,
    ForbiddenError,
    Given,
    LimitError,
    NotFoundError,
    OpenStudy,
    StudyRequest,
    UnavailableError,
    Verdict,
)
from clearml_hpo.study_file import StudyFile, parse_study

LEASE_S = 86_400.0
"""Lease of a hand-out of whose worker nothing else is known: that client has no heartbeat."""
_MOST_LIVE = 200  # hand-outs of one token: a worker that fails at once cannot make trials without end
_STUDIES_A_DAY = 100  # of one project
_MOST_STEPS = 10_000  # of one trial
_MOST_OUTBOX, _FULL_OUTBOX = 10_000, 200_000
_OLDEST_S = 3600.0
"""Age of what is not written to ClearML's server yet from which on the service is not well."""
_AGAIN_S = 5.0
"""After how long a client asks again that got no trial."""


class Hosting:
    """Implements ``Service``. Studies are opened when they are asked for, and stay open until :meth:`stop`."""

    def __init__(self, database: Database, on_note: Callable[[str], None]) -> None:
        """Nothing is opened yet."""
        self._database = database
        self._note = on_note
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}
        self._asking: WeakValueDictionary[tuple[str, str], threading.Lock] = WeakValueDictionary()  # while one waits
        self._is_stopped = False

    def start(self) -> None:
        """Opens the studies of which trials are out, or something is still to be written. Raises GatewayError."""
        with self._database.read() as connection:
            open_ = studies.under_way(connection)
        for row in open_:
            self._host(row)

    def stop(self) -> None:
        """Lets go of all studies; returns when all that workers have said is written, or cannot be."""
        with self._lock:
            self._is_stopped = True
            hosts = [*self._hosts.values()]
        for host in hosts:
            host.stop()
        for host in hosts:
            host.join()

    # --- Service -----------------------------------------------------------------------------------------------------

    def open_study(self, who: Principal, request: StudyRequest) -> OpenStudy:
        """See ``Service``."""
        with self._database.read() as connection:
            found = studies.find(connection, who.project, request.suid)
        if found is None:
            found = self._made(who, request)
        return OpenStudy(found.id, found.suid)

    def find_study(self, who: Principal, suid: str) -> OpenStudy:
        """See ``Service``."""
        with self._database.read() as connection:
            found = studies.find(connection, who.project, suid)
        if found is None:
            raise NotFoundError("no such study")
        return OpenStudy(found.id, found.suid)

    def ask(self, who: Principal, study: str, *, worker: Mapping[str, Any], wait_s: float, key: str = "") -> Given:
        """See ``Service``."""
        host = self._host(self._row(who, study))
        if not key:
            return self._asked(host, who, worker, wait_s, lambda connection, given: None)
        body, key = study.encode(), f"ask {key}"
        with self._lock:
            asking = self._asking.setdefault((who.token, key), threading.Lock())
        with asking:
            with self._database.read() as connection:
                kept = idempotency.find(connection, who.token, key, body)
            if kept is not None:
                return Given(**json.loads(kept.answer))

            def keep(connection: sa.Connection, given: HostGiven) -> None:
                answer = json.dumps(asdict(_given(given)))
                idempotency.keep(connection, who.token, key, body, Kept(200, answer))

            return self._asked(host, who, worker, wait_s, keep)

    def report(self, who: Principal, study: str, wire: int, step: int, values: Mapping[str, float]) -> Verdict:
        """See ``Service``."""
        host = self._host(self._row(who, study, wire))
        with self._database.read() as connection:
            if answers.count(connection, study, wire) >= _MOST_STEPS and not answers.find(
                connection, study, wire, step
            ):
                raise LimitError(f"a trial reports {_MOST_STEPS} steps at most")
        try:
            handout = host.report(wire, step, values, lease_s=host.study.lease_s)
        except UnknownTrial:
            raise NotFoundError("no such trial") from None
        return Verdict(is_to_stop(handout), handout.reason)

    def tell(self, who: Principal, study: str, wire: int, values: Mapping[str, float]) -> None:
        """See ``Service``."""
        host = self._host(self._row(who, study, wire))
        try:
            host.tell(wire, values)
        except UnknownTrial:
            raise NotFoundError("no such trial") from None

    def fail(self, who: Principal, study: str, wire: int, reason: str) -> None:
        """See ``Service``."""
        host = self._host(self._row(who, study, wire))
        try:
            host.fail(wire, reason)
        except UnknownTrial:
            raise NotFoundError("no such trial") from None

    def best(self, who: Principal, study: str) -> int | None:
        """See ``Service``."""
        return self._host(self._row(who, study)).best_wire()

    def faults(self) -> Sequence[str]:
        """See ``Service``."""
        try:
            with self._database.read() as connection:
                waits = outbox.backlog(connection)
        except GatewayError as error:
            return [str(error)]
        found = [f"{host.study.name}: {host.error}" for host in [*self._hosts.values()] if host.error is not None]
        if waits.count > _MOST_OUTBOX or waits.oldest_s > _OLDEST_S:
            found.append(f"{waits.count} entries wait for ClearML's server, the oldest for {waits.oldest_s:.0f} s")
        return found

    # --- parts -------------------------------------------------------------------------------------------------------

    def _made(self, who: Principal, request: StudyRequest) -> StudyRow:
        if not who.rights.allow(Right.CREATE):
            raise ForbiddenError("this token has no right to make a study")
        with self._database.read() as connection:
            project = accounts.project(connection, who.project)
            made = studies.made_today(connection, who.project)
        if made >= _STUDIES_A_DAY:
            raise LimitError(f"the project has got {made} studies today, and gets no more than {_STUDIES_A_DAY} a day")
        assert project is not None
        text = yaml.safe_dump({**request.file, "project": project.clearml_project}, sort_keys=False)
        name = parse_study(text, "the study").spec.study
        with self._database.write() as connection:
            row, is_new = studies.get_or_create(
                connection,
                who.project,
                request.suid,
                name=name,
                set_up=request.set_up,
                file=text,
                lease_s=LEASE_S,
                created_by=who.token,
            )
        if is_new:
            self._note(f"{name}: a new study, asked for with token {who.token}")
        return row

    def _row(self, who: Principal, study: str, wire: int | None = None) -> StudyRow:
        """A study of the caller's project; and with ``wire`` a trial that it may finish."""
        with self._database.read() as connection:
            found = studies.by_id(connection, study)
            if found is None or found.project != who.project:
                raise NotFoundError("no such study")
            if wire is not None and who.is_expired:
                handout = handouts.find(connection, study, wire)
                if handout is None or handout.token != who.token:
                    raise NotFoundError("no such trial")
        return found

    def _host(self, row: StudyRow) -> Host:
        """The study's host, which is started if there is none."""
        with self._lock:
            if self._is_stopped:
                raise UnavailableError("the gateway ends", _AGAIN_S)
            host = self._hosts.get(row.id)
            if host is None or (not host.is_alive and host.error is not None):
                host = self._hosts[row.id] = Host(row, _file_of(row), self._database, self._note)
                host.start()
            return host

    def _asked(
        self,
        host: Host,
        who: Principal,
        worker: Mapping[str, Any],
        wait_s: float,
        keep: Callable[[sa.Connection, HostGiven], None],
    ) -> Given:
        with self._database.read() as connection:
            row = studies.by_id(connection, host.study.id)
            live = handouts.count_live(connection, who.token)
            waits = outbox.backlog(connection)
        if row is None or row.state != studies.ACTIVE:
            raise ConflictError(f"the study is {row.state if row else 'gone'}")
        if live >= _MOST_LIVE:
            raise LimitError(f"this token has {live} running trials, and gets no more than {_MOST_LIVE}")
        if waits.count > _FULL_OUTBOX:
            raise UnavailableError("ClearML's server is too far behind", _AGAIN_S)
        try:
            given = host.ask(token=who.token, lease_s=row.lease_s, wait_s=wait_s, worker=worker, keep=keep)
        except NothingToGive as error:
            raise ConflictError(str(error)) from None
        if given is None:
            raise UnavailableError("no trial was ready in time", _AGAIN_S)
        return _given(given)


def _given(given: HostGiven) -> Given:
    return Given(given.wire, given.number, given.attempt, given.params, given.expires)


def _file_of(row: StudyRow) -> StudyFile:
    return parse_study(row.file, f"study {row.name}")
