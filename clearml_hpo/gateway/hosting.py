"""The service of one process: a host for each study that outside workers ask for."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from weakref import WeakValueDictionary

import sqlalchemy as sa
import yaml

from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.gateway.auth import Principal, Right
from clearml_hpo.gateway.db import accounts, handouts, idempotency, outbox, studies
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.gateway.db.handouts import Handout
from clearml_hpo.gateway.db.idempotency import Kept
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.handing import Given as HostGiven
from clearml_hpo.gateway.handing import is_to_stop
from clearml_hpo.gateway.host import Host
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

_MOST_LIVE = 200  # hand-outs of one token: a worker that fails at once cannot make trials without end
_STUDIES_A_DAY = 100  # of one project
_MOST_OUTBOX, _FULL_OUTBOX = 10_000, 200_000
_OLDEST_S = 3600.0
"""Age of what is not written to ClearML's server yet from which on the service is not well."""
_LOOK_S = 2.0
"""How often it is looked whether a study was added."""
_GIVEN = "study_file"  # what a request calls a study file, in messages
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
        self._by_suid: dict[tuple[str, str], OpenStudy] = {}  # what never changes
        self._asking: WeakValueDictionary[tuple[str, str], threading.Lock] = WeakValueDictionary()  # while one waits
        self._is_stopped = threading.Event()
        self._looking = threading.Thread(target=self._look, name="studies to drive", daemon=True)

    def start(self) -> None:
        """Opens the studies of which trials are out, or something is still to be written. Raises GatewayError."""
        with self._database.read() as connection:
            open_ = studies.under_way(connection)
        for row in open_:
            self._host(row)
        self._looking.start()

    def adopt(self, host: Host) -> None:
        """Serves a study that is driven already; who drives it ends it."""
        with self._lock:
            self._hosts[host.study.id] = host

    def stop(self) -> None:
        """Lets go of all studies; returns when all that workers have said is written, or cannot be."""
        self._is_stopped.set()
        with self._lock:
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
        found = self._by_suid.get((who.project, suid))
        if found is None:
            with self._database.read() as connection:
                row = studies.find(connection, who.project, suid)
            if row is None:
                raise NotFoundError("no such study")
            found = self._by_suid[who.project, suid] = OpenStudy(row.id, row.suid)
        return found

    def ask(
        self,
        who: Principal,
        study: str,
        *,
        worker: Mapping[str, Any],
        wait_s: float,
        key: str = "",
        lease_s: float | None = None,
    ) -> Given:
        """See ``Service``; ``lease_s`` is how long the lease runs at first, in seconds (default: the study's)."""
        host = self._open(who, study)
        if not key:
            return self._asked(host, who, worker, wait_s, lambda connection, given: None, lease_s)
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

            return self._asked(host, who, worker, wait_s, keep, lease_s)

    def report(self, who: Principal, study: str, wire: int, step: int, values: Mapping[str, float]) -> Verdict:
        """See ``Service``."""
        host = self._open(who, study, wire)
        handout = host.handing.report(wire, step, values, lease_s=host.study.lease_s)
        return Verdict(is_to_stop(handout), handout.reason)

    def tell(self, who: Principal, study: str, wire: int, values: Mapping[str, float]) -> None:
        """See ``Service``."""
        host = self._open(who, study, wire)
        host.handing.tell(wire, values)

    def fail(self, who: Principal, study: str, wire: int, reason: str) -> None:
        """See ``Service``."""
        host = self._open(who, study, wire)
        host.handing.fail(wire, reason)

    def best(self, who: Principal, study: str) -> int | None:
        """See ``Service``."""
        return self._open(who, study).best_wire()

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

    # --- what the native API has beside these ------------------------------------------------------------------------

    def check_file(self, who: Principal, file: Mapping[str, Any]) -> tuple[StudyFile, str]:
        """A study file in the project of ``who``, and its text. Raises InputError."""
        with self._database.read() as connection:
            project = accounts.project(connection, who.project)
        assert project is not None
        text = yaml.safe_dump({**file, "project": project.clearml_project}, sort_keys=False)
        try:
            return parse_study(text, _GIVEN), text
        except InputError as error:  # the lines of a text that the caller has never seen tell nothing
            raise InputError(re.sub(rf"^{_GIVEN}:\d+: ", f"{_GIVEN}: ", str(error), flags=re.MULTILINE)) from None

    def is_project(self, who: Principal, project: str) -> bool:
        """Whether this is the id or the name of the project of ``who``."""
        with self._database.read() as connection:
            own = accounts.project(connection, who.project)
        return own is not None and project in (own.id, own.name)

    def studies(self, who: Principal) -> Sequence[StudyRow]:
        """Those of the project, the newest first."""
        with self._database.read() as connection:
            return studies.of_project(connection, who.project)

    def row(self, who: Principal, study: str) -> StudyRow:
        """A study of the project. Raises NotFoundError."""
        return self._row(who, study)

    def host(self, who: Principal, study: str) -> Host:
        """The host of a study of the project, which is opened if it is not. Raises NotFoundError."""
        return self._open(who, study)

    def open_host(self, study: str) -> Host | None:
        """The host of a study, if it is open."""
        with self._lock:
            return self._hosts.get(study)

    def set_state(self, who: Principal, study: str, state: str) -> None:
        """Has a study give trials, or no more: for now, or for good. Raises NotFoundError."""
        self._row(who, study)
        with self._database.write() as connection:
            studies.set_state(connection, study, state)

    def handout(self, who: Principal, study: str, wire: int) -> Handout:
        """A hand-out of a study of the project. Raises NotFoundError."""
        self._row(who, study, wire)
        with self._database.read() as connection:
            found = handouts.find(connection, study, wire)
        if found is None:
            raise NotFoundError("no such trial")
        return found

    def renew(self, who: Principal, study: str, wire: int) -> None:
        """A sign of life. Raises NotFoundError."""
        host = self._open(who, study, wire)
        host.handing.renew(wire, lease_s=host.study.lease_s)

    def stop_trial(self, who: Principal, study: str, wire: int, reason: str) -> None:
        """Ends a trial, whoever has it. Raises NotFoundError."""
        self._open(who, study, wire).handing.declare_failed(wire, reason)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Opens studies that were added on the command line."""
        while not self._is_stopped.wait(_LOOK_S):
            try:
                with self._database.read() as connection:
                    found = studies.to_drive(connection)
                for row in found:
                    if self.open_host(row.id) is None:
                        self._host(row)
            except (GatewayError, UnavailableError) as error:
                self._note(str(error))

    def _made(self, who: Principal, request: StudyRequest) -> StudyRow:
        if not who.rights.allow(Right.CREATE):
            raise ForbiddenError("this token has no right to make a study")
        with self._database.read() as connection:
            made = studies.made_today(connection, who.project)
        if made >= _STUDIES_A_DAY:
            raise LimitError(f"the project has got {made} studies today, and gets no more than {_STUDIES_A_DAY} a day")
        file, text = self.check_file(who, request.file)
        name = file.spec.study
        with self._database.write() as connection:
            row, is_new = studies.get_or_create(
                connection,
                who.project,
                request.suid,
                name=name,
                set_up=request.set_up,
                file=text,
                lease_s=request.lease_s,
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

    def _open(self, who: Principal, study: str, wire: int | None = None) -> Host:
        """The host of a study of the caller's project, with ``wire`` for a trial that it may finish."""
        host = self._hosts.get(study)
        if host is not None and host.is_alive and host.study.project == who.project and not (wire and who.is_expired):
            return host
        return self._host(self._row(who, study, wire))

    def _host(self, row: StudyRow) -> Host:
        """The study's host, which is started if there is none."""
        with self._lock:
            if self._is_stopped.is_set():
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
        lease_s: float | None,
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
        given = host.ask(token=who.token, lease_s=lease_s or row.lease_s, wait_s=wait_s, worker=worker, keep=keep)
        if given is None:
            raise UnavailableError("no trial was ready in time", _AGAIN_S)
        return _given(given)


def _given(given: HostGiven) -> Given:
    return Given(given.wire, given.number, given.attempt, given.params, given.expires)


def _file_of(row: StudyRow) -> StudyFile:
    return parse_study(row.file, f"study {row.name}")
