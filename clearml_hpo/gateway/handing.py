"""The hand-outs of one open study: what workers are given and say is in the database before they are answered."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clearml_hpo.backend.codes import LOST, PRUNED_AT, TOLD_NOT_FINITE
from clearml_hpo.backend.outside_tasks import HANDOUT
from clearml_hpo.core.goal import Objective
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Params
from clearml_hpo.gateway.db import answers, handouts, outbox
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.gateway.db.handouts import STOPS, Event, Handout, State
from clearml_hpo.gateway.service import LimitError, NotFoundError
from clearml_hpo.gateway.writing import BEGIN, END, REPORT
from clearml_hpo.scheduler import Scheduler

_MOST_STEPS = 10_000  # of one trial


class UnknownTrial(NotFoundError):
    """The study has handed out no trial of this number."""


@dataclass(frozen=True)
class Given:
    """One attempt of a trial, handed out.

    Attributes:
        wire: its number for the worker.
        expires: when its lease ends without a sign of life, in seconds since 1970 by the database's clock.
    """

    wire: int
    number: int
    attempt: int
    task: str
    params: Params
    expires: float


class Handing:
    """Any thread may call it.

    Attributes:
        scheduler: knows the trials that live, and judges them; None as long as the study is not open.
        judged: what reports are judged by; None if nothing is.
    """

    def __init__(
        self,
        study: str,
        database: Database,
        *,
        write_soon: Callable[[], None],
        trials: Callable[[], Sequence[Trial]],
    ) -> None:
        """``study`` is its id in the gateway; ``write_soon`` has the outbox emptied, ``trials`` are the last seen."""
        self.scheduler: Scheduler | None = None
        self.judged: Objective | None = None
        self._study = study
        self._database = database
        self._write_soon = write_soon
        self._trials = trials
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._steps: dict[int, int] = {}
        self._wires: dict[str, int] = {}

    def take_up(self) -> Mapping[str, int]:
        """The numbers on the wire of what an earlier host has handed out, by task. Raises GatewayError."""
        self._wires = {handout.task: handout.wire for handout in self.handed_out(only_live=True)}
        return self._wires

    def give_up(self, tasks: Collection[str]) -> None:
        """These have ended while nobody drove the study, or since a backup that was restored. Raises GatewayError."""
        with self._database.write() as connection:
            for task in tasks:
                handouts.end(connection, self._study, self._wires[task], Event.STOP, reason="its task has ended")
        self._wires = {task: wire for task, wire in self._wires.items() if task not in tasks}

    def give(
        self,
        trial: Trial,
        token: str,
        lease_s: float,
        worker: Mapping[str, Any],
        keep: Callable[[sa.Connection, Given], None],
    ) -> Given:
        """Hands a trial out; ``keep`` is called in the same transaction.

        Raises:
            IntegrityError: it was handed out before.
        """
        said = {f"worker_{name}": value for name, value in worker.items()}
        wire = handouts.wire_number(trial.number, trial.attempt)
        with self._database.write() as connection:
            handout = handouts.give(
                connection,
                self._study,
                trial.number,
                trial.attempt,
                task=trial.task_id,
                token=token,
                lease_s=lease_s,
                worker=worker,
            )
            body = {HANDOUT: wire, "token": token, **said}
            outbox.put(connection, self._study, trial.task_id, BEGIN, body)
            given = Given(wire, trial.number, trial.attempt, trial.task_id, trial.params, handout.leased_until)
            keep(connection, given)
        self._wires[trial.task_id] = wire
        self._write_soon()
        return given

    def report(self, wire: int, step: int, values: Mapping[str, float], *, lease_s: float) -> Handout:
        """Takes in scalars of one step; the hand-out as it is then says whether its worker is to stop.

        Raises:
            UnknownTrial: it was never handed out.
            LimitError: it has reported as many steps as it may.
            GatewayError: the database is away.
        """
        with self._changing(wire), self._database.write() as connection:
            known = handouts.renew(connection, self._study, wire, lease_s)
            if known is None:
                return self._known(connection, wire)
            if answers.find(connection, self._study, wire, step) is None:
                self._count_step(connection, wire)
                prune = self._judge(known, step, values)
                answers.keep(connection, self._study, wire, step, dict(values), prune=prune)
                body = {"step": step, "values": {metric: v for metric, v in values.items() if math.isfinite(v)}}
                outbox.put(connection, self._study, known.task, REPORT, body)
                if prune:
                    self._end(connection, known, Event.PRUNE, "stopped", f"{PRUNED_AT} {step}")
                    return self._known(connection, wire)
            return known

    def renew(self, wire: int, *, lease_s: float) -> Handout:
        """A sign of life. Raises as :meth:`report`."""
        with self._database.write() as connection:
            return handouts.renew(connection, self._study, wire, lease_s) or self._known(connection, wire)

    def tell(self, wire: int, values: Mapping[str, float]) -> Handout:
        """The trial is complete with these values, by metric; one that has ended already stays as it is.

        A result of a hand-out whose lease is over counts too, unless the trial runs again.

        Raises: as :meth:`report`.
        """
        with self._changing(wire), self._database.write() as connection:
            known = self._known(connection, wire)
            is_late = known.state is State.LOST
            broken = {metric: value for metric, value in values.items() if not math.isfinite(value)}
            reported = answers.of_trial(connection, self._study, wire)
            superseded = is_late and self._runs_again(known)
            changed = handouts.end(
                connection, self._study, wire, Event.TELL, outcome=dict(values), is_superseded=superseded
            ).has_changed
            if changed:
                step = reported[-1].step + 1 if reported else 0
                last = reported[-1].outcome if reported else {}
                new = {m: v for m, v in values.items() if m not in broken and last.get(m) != v}
                if new:
                    outbox.put(connection, self._study, known.task, REPORT, {"step": step, "values": new})
                how = {"how": "completed", "again": is_late}
                if broken:
                    said = ", ".join(f"{metric} is {value}" for metric, value in broken.items())
                    how = {"how": "failed", "again": is_late, "reason": f"{TOLD_NOT_FINITE} {said}"}
                outbox.put(connection, self._study, known.task, END, how)
            found = self._known(connection, wire)
        self._write_soon()
        return found

    def fail(self, wire: int, reason: str) -> Handout:
        """The trial has failed; one that has ended already stays as it is. Raises as :meth:`report`."""
        return self._end_by(wire, Event.FAIL, "failed", reason or "its outside worker says that it failed")

    def declare_failed(self, wire: int, reason: str) -> Handout:
        """A user ends a trial: its worker hears of it when it reports next. Raises as :meth:`report`."""
        return self._end_by(wire, Event.STOP, "stopped", reason)

    def handed_out(self, *, only_live: bool = False) -> Sequence[Handout]:
        """The hand-outs by number on the wire."""
        with self._database.read() as connection:
            return handouts.of_study(connection, self._study, only_live=only_live)

    def expire(self) -> None:
        """Ends what was given to workers of which nothing was heard for too long. Raises GatewayError."""
        with self._database.write() as connection:
            for handout in handouts.expire(connection, self._study):
                body = {"how": "failed", "reason": f"{LOST} {handout.reason}"}
                outbox.put(connection, self._study, handout.task, END, body)

    def abort(self, task_ids: Sequence[str], reason: str) -> Collection[str]:
        """The loop ends these; returns those that have not ended by what their workers said. Raises GatewayError."""
        living = []
        with self._database.write() as connection:
            for task_id in task_ids:
                wire = self._wires.get(task_id)
                if wire is not None and handouts.end(
                    connection, self._study, wire, Event.STOP, reason=reason
                ).before in (State.OUT, State.STOPPED):
                    living.append(task_id)
        return living

    def has_ended(self, trial: Trial) -> None:
        """The loop has seen the end of a trial: by whatever, its worker is to leave it. Raises GatewayError."""
        wire = self._wires.pop(trial.task_id, None)
        if wire is not None:
            with self._database.write() as connection:
                handouts.end(connection, self._study, wire, Event.STOP, reason=trial.reason)
            self._locks.pop(wire, None)
            self._steps.pop(wire, None)

    def _count_step(self, connection: sa.Connection, wire: int) -> None:
        if wire not in self._steps:
            self._steps[wire] = answers.count(connection, self._study, wire)
        if self._steps[wire] >= _MOST_STEPS:
            raise LimitError(f"a trial reports {_MOST_STEPS} steps at most")
        self._steps[wire] += 1

    def _judge(self, handout: Handout, step: int, values: Mapping[str, float]) -> bool:
        judged, scheduler = self.judged, self.scheduler
        if judged is None or scheduler is None or judged.metric not in values:
            return False
        trial = scheduler.live_trial(handout.task)
        return trial is not None and scheduler.judge(trial.number, step, values[judged.metric])

    def _runs_again(self, handout: Handout) -> bool:
        """Whether a newer attempt of the trial is there, also one that an agent runs."""
        return any(trial.number == handout.number and trial.attempt > handout.attempt for trial in self._trials())

    def _end_by(self, wire: int, event: Event, how: str, reason: str) -> Handout:
        with self._changing(wire), self._database.write() as connection:
            known = self._known(connection, wire)
            self._end(connection, known, event, how, reason)
            found = self._known(connection, wire)
        self._write_soon()
        return found

    def _end(self, connection: sa.Connection, known: Handout, event: Event, how: str, reason: str) -> None:
        if handouts.end(connection, self._study, known.wire, event, reason=reason).has_changed:
            outbox.put(connection, self._study, known.task, END, {"how": how, "reason": reason})

    def _known(self, connection: sa.Connection, wire: int) -> Handout:
        found = handouts.find(connection, self._study, wire)
        if found is None:
            raise UnknownTrial("no such trial")
        return found

    @contextmanager
    def _changing(self, wire: int) -> Iterator[None]:
        """One request at a time changes a hand-out: the pruner is shown each step once."""
        with self._locks[wire]:
            yield


def is_to_stop(handout: Handout) -> bool:
    """Whether the worker of a hand-out is to stop."""
    return STOPS.get(handout.state, False)
