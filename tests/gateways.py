"""A gateway for tests: its application over a service in memory, which asks a real Optuna study."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import uvicorn
import yaml

from clearml_hpo.gateway.app import build_app
from clearml_hpo.gateway.auth import Kind, NewToken, Principal, Right, Rights, Tokens
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.db import Database, accounts
from clearml_hpo.gateway.db.accounts import Role
from clearml_hpo.gateway.db.handouts import NEXT, STOPS, Event, State
from clearml_hpo.gateway.limits import Limits
from clearml_hpo.gateway.service import (
    ForbiddenError,
    Given,
    NotFoundError,
    OpenStudy,
    StudyRequest,
    UnavailableError,
    Verdict,
)
from clearml_hpo.search.learner import as_optuna
from clearml_hpo.search.pruners import build_pruner
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.study_file import StudyFile, parse_study

optuna.logging.set_verbosity(optuna.logging.ERROR)
NO_LIMITS = Limits({}, longest_wait_s=0)
NO_LIMITS.reserve = lambda kind, who: 0.0  # type: ignore[method-assign]


@dataclass
class _Trial:
    given: Given
    token: str
    worker: Mapping[str, Any]
    trial: optuna.trial.Trial
    state: State = State.OUT
    reason: str = ""
    value: float = math.nan
    answers: dict[int, bool] = field(default_factory=dict)


@dataclass
class _Study:
    project: str
    file: StudyFile
    optuna: optuna.Study
    trials: dict[int, _Trial] = field(default_factory=dict)


class MemoryService:
    """Studies in memory."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.studies: dict[str, _Study] = {}
        self.by_key: dict[tuple[str, str], Given] = {}
        self.is_away = False

    def open_study(self, who: Principal, request: StudyRequest) -> OpenStudy:
        with self.lock:
            if request.suid not in self.studies:
                file = parse_study(yaml.safe_dump({**request.file, "project": "tests"}), "set-up")
                if not who.rights.allow(Right.CREATE):
                    raise ForbiddenError("this token may make no studies")
                spec = file.spec
                sampler = build_sampler(
                    spec.sampler.name,
                    seed=spec.sampler.seed,
                    options=spec.sampler.options,
                    space=file.space,
                    goal=file.goal,
                )
                study = optuna.create_study(
                    sampler=sampler,
                    pruner=build_pruner(spec.pruner.name, options=spec.pruner.options),
                    direction=file.goal.objectives[0].direction,
                )
                self.studies[request.suid] = _Study(who.project, file, study)
        return self.find_study(who, request.suid)

    def find_study(self, who: Principal, suid: str) -> OpenStudy:
        with self.lock:
            found = self.studies.get(suid)
        if found is None or found.project != who.project:
            raise NotFoundError("no such study")
        return OpenStudy(suid, suid)

    def ask(self, who: Principal, study: str, *, worker: Mapping[str, Any], wait_s: float, key: str = "") -> Given:
        if self.is_away:
            raise UnavailableError("no trial was ready in time", retry_s=5)
        with self.lock:
            if key and (who.token, key) in self.by_key:
                return self.by_key[who.token, key]
            found = self.studies[study]
            space = found.file.space
            asked = found.optuna.ask({name: as_optuna(each) for name, each in space.distributions.items()})
            constants = dict(space.constants)
            number = asked.number
            given = Given(number, number, 1, {**constants, **asked.params}, time.time() + 3600)
            found.trials[number] = _Trial(given, who.token, worker, asked)
            if key:
                self.by_key[who.token, key] = given
        return given

    def report(self, who: Principal, study: str, wire: int, step: int, values: Mapping[str, float]) -> Verdict:
        with self.lock:
            trial = self._trial(who, study, wire)
            if step in trial.answers:
                return Verdict(trial.answers[step])
            if trial.state != State.OUT:
                return Verdict(STOPS[trial.state])
            (value,) = values.values()
            trial.trial.report(value, step)
            trial.answers[step] = trial.trial.should_prune()
            if trial.answers[step]:
                self._end(study, trial, Event.PRUNE, optuna.trial.TrialState.PRUNED)
        return Verdict(trial.answers[step])

    def tell(self, who: Principal, study: str, wire: int, values: Mapping[str, float]) -> None:
        with self.lock:
            trial = self._trial(who, study, wire)
            (value,) = values.values()
            if math.isfinite(value):
                self._end(study, trial, Event.TELL, optuna.trial.TrialState.COMPLETE, value)
            else:
                self._end(study, trial, Event.TELL, optuna.trial.TrialState.FAIL)

    def fail(self, who: Principal, study: str, wire: int, reason: str) -> None:
        with self.lock:
            trial = self._trial(who, study, wire)
            trial.reason = reason
            self._end(study, trial, Event.FAIL, optuna.trial.TrialState.FAIL)

    def best(self, who: Principal, study: str) -> int | None:
        with self.lock:
            try:
                return self.studies[study].optuna.best_trial.number
            except ValueError:
                return None

    def faults(self) -> Sequence[str]:
        return ["ClearML's server is away"] if self.is_away else []

    def trials(self) -> list[_Trial]:
        return [trial for study in self.studies.values() for trial in study.trials.values()]

    def _trial(self, who: Principal, study: str, wire: int) -> _Trial:
        trial = self.studies[study].trials.get(wire)
        if trial is None or (who.is_expired and trial.token != who.token):
            raise NotFoundError("no such trial")
        return trial

    def _end(self, study: str, trial: _Trial, event: Event, state: Any, value: float | None = None) -> None:
        after = NEXT.get((trial.state, event), trial.state)
        if after != trial.state:
            trial.state = after
            self.studies[study].optuna.tell(trial.trial, value, state)


class TestGateway:
    """The application, and what is behind it."""

    __test__ = False

    def __init__(self, folder: Path, limits: Limits | None = NO_LIMITS, **options: Any) -> None:
        self.database = Database(f"sqlite:///{folder}/gateway.sqlite3")
        self.database.open()
        self.service = MemoryService()
        self.tokens = Tokens(self.database, Pepper("p" * 40))
        self.app = build_app(self.service, self.tokens, version="1.2", hopaas=True, limits=limits, **options)

    def new(self, kind: Kind = Kind.HOPAAS, scope: str = "worker", project: str = "tests") -> NewToken:
        with self.database.write() as connection:
            owner = accounts.ensure_user(connection, "i", "ann")
            where = accounts.ensure_project(connection, project)
            accounts.set_role(connection, where.id, owner.id, Role.OWNER)
        return self.tokens.create(owner.id, where.id, kind=kind, name="a", rights=Rights.parse([scope]))

    def token(self, **options: Any) -> str:
        return self.new(**options).text.reveal()

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serves it on loopback; yields its address."""
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(200)
        config = uvicorn.Config(self.app, access_log=False, proxy_headers=False, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            listening.close()
