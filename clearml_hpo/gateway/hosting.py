"""The service of one process: a host for each study that outside workers ask for."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import sqlalchemy as sa
import yaml

from clearml_hpo.backend.imported import Finished
from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Params
from clearml_hpo.gateway.auth import Principal, Right
from clearml_hpo.gateway.db import accounts, audit, handouts, idempotency, outbox, studies
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.gateway.db.handouts import Handout
from clearml_hpo.gateway.db.idempotency import Kept, KeptMeanwhileError
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.feed import Feed
from clearml_hpo.gateway.handing import Given as HostGiven
from clearml_hpo.gateway.handing import is_to_stop
from clearml_hpo.gateway.host import Host
from clearml_hpo.gateway.idling import IDLE_S, IdleError
from clearml_hpo.gateway.importing import read_import
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
_MOST_TRIALS = 100_000  # of one study
_IMPORT_S = 60.0
"""Longest time that a request waits until its trials are added; clients wait 90 s."""
_MOST_OUTBOX, _FULL_OUTBOX = 10_000, 200_000
_OLDEST_S = 3600.0
"""Age of what is not written to ClearML's server yet from which on the service is not well."""
_LOOK_S = 2.0
"""How often it is looked whether a study was added."""
_GIVEN = "study_file"  # what a request calls a study file, in messages
_SEEN_S = 30.0
"""Longest time that a request waits until the trials of a study are known that is being opened."""
_AGAIN_S = 5.0
"""After how long a client asks again that got no trial."""


@dataclass(frozen=True)
class Rest:
    """What is kept of a study that was closed because nobody asked for its trials.

    Attributes:
        counts: trials by state.
        ended: why it gives no trials any more; empty if it goes on at the next ask.
    """

    counts: Mapping[str, int]
    best: Trial | None
    ended: str


class Hosting:
    """Implements ``Service``. Studies are opened when they are asked for, and closed when nobody asks any more."""

    def __init__(
        self, database: Database, on_note: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is opened yet; ``clock``: seconds, by which studies are idle."""
        self._database = database
        self._note = on_note
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}
        self._by_suid: dict[tuple[str, str], OpenStudy] = {}  # what never changes
        self._clock = clock
        self._closing: dict[str, Host] = {}  # by study; they still write
        self._rests: dict[str, Rest] = {}
        self._feeds: dict[str, Feed] = {}
        self._unfollowed: set[str] = set()
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
        """Serves a study that is not driven yet; who drives it ends it."""
        host.on_progress = partial(self._progress, host.study.id)
        with self._lock:
            self._hosts[host.study.id] = host

    def stop(self) -> None:
        """Lets go of all studies; returns when all that workers have said is written, or cannot be."""
        self._is_stopped.set()
        with self._lock:
            hosts = [*self._hosts.values(), *self._closing.values()]
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
            return parse_study(text, _GIVEN, is_new=True), text
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

    def follow(self, who: Principal, study: str) -> Feed:
        """What changes of a study of the project, which is opened if it is not. Raises NotFoundError."""
        host = self._open(who, study)
        with self._lock:
            feed = self._feeds.setdefault(study, Feed())
        feed.see(host.trials)
        return feed

    def end_of(self, study: str) -> str:
        """Why an open study is not driven any more; empty while it is."""
        host = self._hosts.get(study)
        return host.over if host is not None else ""

    def seen_host(self, who: Principal, study: str) -> Host:
        """As :meth:`host`, once it knows the study's trials.

        Raises:
            NotFoundError: there is no such study in the project.
            UnavailableError: they are not known in time.
        """
        host = self._open(who, study)
        host.wait_seen(_SEEN_S)
        return host

    def rest(self, study: str) -> Rest | None:
        """What is known of a study that was closed because nobody asked."""
        return self._rests.get(study)

    def tend(self) -> None:
        """Has each host look whether its study is idle, and forgets those that are closed. Raises GatewayError."""
        with self._lock:
            hosts = [*self._hosts.items()]
            self._closing = {study: host for study, host in self._closing.items() if not host.is_closed}
            unfollowed = {study for study, feed in self._feeds.items() if not feed.is_followed} - self._hosts.keys()
            for study in unfollowed & self._unfollowed:  # one that is followed from now on is not yet, for a moment
                del self._feeds[study]
            self._unfollowed = unfollowed
        for study, host in hosts:
            if host.tend():
                with self._lock:
                    if self._hosts.get(study) is host:
                        self._let_go(study, host)

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

    def import_trials(
        self, who: Principal, study: str, given: Sequence[tuple[Params, Finished]], *, key: str, body: str
    ) -> Sequence[int]:
        """Adds trials that ended elsewhere, all or none; the same token, key and body are the same trials.

        Args:
            given: the points by names without the section ``General/``, or by full ones.

        Raises:
            NotFoundError: there is no such study.
            InputError: a trial is none of the study's, or the key was used with another body.
            ConflictError: the study is closed or has ended, or its budget has no room for all.
            LimitError: the study has as many trials as it may.
            UnavailableError: they are not all added in time; the same request goes on.
        """
        host, kept_as = self._open(who, study), f"import {key}"
        if self._row(who, study).state == studies.CLOSED:
            raise ConflictError("the study is closed")
        if len(host.trials) + len(given) > _MOST_TRIALS:
            raise LimitError(f"the study has {len(host.trials)} trials, and gets no more than {_MOST_TRIALS}")
        sent = f"{study} {body}".encode()
        name = hashlib.sha256(f"{who.token} {key or secrets.token_hex(16)} ".encode() + sent).hexdigest()[:24]
        imports = [
            read_import(host.reading.file, f"import_{name}_{place}", params, finished, f"trials.{place}")
            for place, (params, finished) in enumerate(given)
        ]
        if key:
            with self._database.read() as connection:
                kept = idempotency.find(connection, who.token, kept_as, sent)
            if kept is not None:
                return [int(number) for number in json.loads(kept.answer)]
        try:
            numbers = host.add(imports, _IMPORT_S)
        except IdleError:  # just now
            numbers = self._open(who, study).add(imports, _IMPORT_S)
        with suppress(KeptMeanwhileError), self._database.write() as connection:
            if key:
                idempotency.keep(connection, who.token, kept_as, sent, Kept(200, json.dumps(numbers)))
            target = f"{study}: {len(numbers)} trials from {min(numbers)} on"
            audit.note(connection, "trials imported", user=who.owner, token=who.token, target=target)
        return numbers

    # --- parts -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Opens studies that were added on the command line, and closes those for which nobody asks."""
        while not self._is_stopped.wait(_LOOK_S):
            try:
                with self._database.read() as connection:
                    found = studies.to_drive(connection)
                for row in found:
                    if self.open_host(row.id) is None and row.id not in self._rests:
                        self._host(row)
                self.tend()
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
            if host is not None and host.is_idle:
                self._let_go(row.id, host)
                host = None
            if host is None or (not host.is_alive and host.error is not None):
                self._rests.pop(row.id, None)
                host = self._hosts[row.id] = Host(
                    row,
                    _file_of(row),
                    self._database,
                    self._note,
                    before=self._closing.get(row.id),
                    clock=self._clock,
                )
                host.on_progress = partial(self._progress, row.id)
                host.start()
            return host

    def _let_go(self, study: str, host: Host) -> None:
        """Forgets a host that lets go of its study, but for what is shown; the lock is held."""
        counts = Counter(trial.state.value for trial in host.trials_now)
        self._rests[study] = Rest(counts, host.reading.best, host.over)
        self._closing[study] = self._hosts.pop(study)
        self._note(f"{host.study.name}: idle, nobody has asked for {IDLE_S / 60:.0f} min; opened again at the next ask")

    def _progress(self, study: str, trials: Sequence[Trial]) -> None:
        feed = self._feeds.get(study)
        if feed is not None:
            feed.see(trials)

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

        def ask(of: Host) -> HostGiven | None:
            lease = lease_s or row.lease_s
            return of.ask(token=who.token, lease_s=lease, wait_s=wait_s, worker=worker, keep=keep)

        try:
            given = ask(host)
        except IdleError:  # just now
            given = ask(self._host(row))
        if given is None:
            raise UnavailableError("no trial was ready in time", _AGAIN_S)
        return _given(given)


def _given(given: HostGiven) -> Given:
    return Given(given.wire, given.number, given.attempt, given.params, given.expires)


def _file_of(row: StudyRow) -> StudyFile:
    return parse_study(row.file, f"study {row.name}", is_new=True)  # its controller keeps what it goes on with
