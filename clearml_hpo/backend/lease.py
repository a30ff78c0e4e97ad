"""The lease of one controller on its study or campaign, so that two never drive the same one.

It is kept on the controller task, where every controller sees it, wherever it runs: the user property ``holder`` says
who has it, the task's last update is the last sign of life. The lease of a holder that dies without a word runs out; on
its own machine it ends at once.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import psutil

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import STOPPING, is_non_responsive
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.backend.orders import NARROWED, Order, drop, pending
from clearml_hpo.backend.study_records import ENDED, OWNER, own_properties
from clearml_hpo.backend.trial_tasks import epoch
from clearml_hpo.core.errors import HeldError, StudyError
from clearml_hpo.core.notes import Note
from clearml_hpo.machine.processes import pid_space

LEASE_S = 90.0
"""A holder that shows no sign of life for this long has lost the study."""
RENEW_S = 15.0
"""Period in which a controller shows a sign of life and reads what users ask for."""
FIRST_RENEWAL_S = 3.0
"""Time until the first renewal: two controllers that took a study at the same moment find out then."""
_SETTLE_S = 1.0
"""Wait between claiming a study and reading whether the claim stands."""
_LOOK_S = 1.0
"""Pause between two looks at a study while its holder leaves or is waited for."""
_HOLDER = re.compile(r"(?P<host>\S+) pid (?P<pid>\d+) since (?P<since>\S+) #(?P<machine>\w+)-\w+")


@dataclass(frozen=True)
class Requests:
    """What users ask of the controller that drives the study.

    Attributes:
        stop: ``abort`` or ``drain``; empty if it is to go on.
        retry: numbers of trials to run again.
        narrowed: limits within which parameters are proposed, as text; None if the task was not read.
        orders: what was ordered by hand and is not on record yet, by name; None for an order that cannot be read.
    """

    stop: str = ""
    retry: tuple[int, ...] = ()
    orders: Mapping[str, Order | None] = field(default_factory=dict)
    narrowed: str | None = None


@dataclass(frozen=True)
class _State:
    """The controller task; ``foreign`` are names of properties that it has from the task that it is a copy of."""

    status: str
    updated_at: float
    properties: Mapping[str, str]
    foreign: frozenset[str] = frozenset()
    message: str = ""
    reason: str = ""

    @property
    def was_given_up(self) -> bool:
        """Whether the server has stopped the task because it heard nothing of its controller for too long."""
        return self.status == "stopped" and is_non_responsive(self.reason)

    @property
    def is_stopping(self) -> bool:
        """True if a user aborts the task in the web page; one that an agent runs is asked to end itself."""
        return (self.status != "in_progress" and not self.was_given_up) or STOPPING in self.message

    @property
    def holder(self) -> str:
        return self.properties.get("holder", "")

    @property
    def driven_s(self) -> float:
        """Seconds that earlier holders drove the study; of one that died, until its last sign of life."""
        return driven_s(self.properties, self.updated_at)


class _LeasedTask:
    """The controller task on which a lease is kept."""

    def __init__(self, api: Api, task_id: str) -> None:
        self._api = api
        self.task_id = task_id

    def read(self) -> _State:
        """The task as it is now. Raises StudyError: it was deleted."""
        tasks = self._api.call(
            "tasks.get_all",
            id=[self.task_id],
            only_fields=["id", "status", "status_message", "status_reason", "last_update", "hyperparams.properties"],
            search_hidden=True,
        )["tasks"]
        if not tasks:
            raise StudyError(f"the controller task {self.task_id} was deleted")
        task: Mapping[str, Any] = tasks[0]
        own = own_properties(task)
        return _State(
            task.get("status", ""),
            epoch(task.get("last_update")) or 0.0,
            own,
            frozenset(user_properties(task.get("hyperparams") or {}).keys() - own.keys()),
            task.get("status_message") or "",
            task.get("status_reason") or "",
        )

    def set(self, **properties: str) -> None:
        """Sets user properties."""
        set_properties(self._api, self.task_id, properties)

    def claim(self, **properties: str) -> None:
        """Sets the properties of a holder, and shows a sign of life, which properties alone are not."""
        self.set(**properties)
        self.ping()

    def ping(self) -> None:
        """Shows a sign of life."""
        self._api.call("tasks.ping", task=self.task_id)

    def start_again(self) -> None:
        """Makes it a task that runs, after the server had given it up."""
        self._api.call("tasks.started", task=self.task_id, force=True, status_reason="heard of again")


class Lease:
    """One controller's lease on one study.

    Attributes:
        me: what the property ``holder`` says while the lease is ours.
        driven_before_s: seconds that earlier holders drove the study; known once the lease is acquired.
        stopping_since: when the holder before began to end its trials, if it did; known once the lease is acquired.
    """

    def __init__(
        self,
        api: Api,
        study_id: str,
        *,
        what: str = "study",
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """``wait`` may return true to give up waiting; ``what`` is study or campaign."""
        self._what = what
        self._api = api
        self._task = _LeasedTask(api, study_id)
        self._clock = clock
        self._wait = wait
        self._since = clock()
        self.driven_before_s = 0.0
        self.stopping_since: float | None = None
        self._renewed_at = self._since
        self._renew_after_s = FIRST_RENEWAL_S
        self.me = _describe(self._now)

    @property
    def _name(self) -> str:
        return f"{self._what} {self._task.task_id}"

    @property
    def _now(self) -> float:
        """By the server's clock."""
        return self._clock() + self._api.server_ahead_s

    @property
    def driven_s(self) -> float:
        """Seconds that the study was driven, by this holder and those before."""
        return self.driven_before_s + self._clock() - self._since

    @property
    def since(self) -> float:
        """When the lease was taken, by the server's clock."""
        return self._since + self._api.server_ahead_s

    def on(self, study_id: str) -> Lease:
        """The same lease, now that the study that was created with :meth:`properties` has an id."""
        self._task.task_id = study_id
        self._task.set(**{OWNER: study_id})
        return self

    def acquire(self, *, take_over: bool = False, on_note: Callable[[str], None] = lambda text: None) -> None:
        """Takes the lease on an existing study.

        A holder that shows no sign of life is waited for until its lease has run out.

        Raises:
            HeldError: another controller drives the study; with ``take_over`` it is told to leave, and waited for.
        """
        state = self._task.read()
        if state.holder and not self._is_gone(state):
            if take_over:
                self._displace(state, on_note)
            else:
                self._wait_for_end_of(state, on_note)
            state = self._task.read()
        self.stopping_since = stopping_since(state.properties)
        self.driven_before_s = state.driven_s if state.holder != self.me else self.driven_before_s
        self._since = self._renewed_at = self._clock()
        self.me = _describe(self._now)  # a successor counts from here, not from when the wait for the lease began
        held = {"holder": self.me, "driven_s": f"{self.driven_before_s:.3f}", "left_by": "", "stop": "", ENDED: ""}
        self._task.claim(**{**dict.fromkeys(state.foreign, ""), **held, OWNER: self._task.task_id})
        self._wait(_SETTLE_S)
        holder = self._task.read().holder
        if holder != self.me:
            raise HeldError(f"{self._name} was taken by {holder} at the same moment")

    def renew(self, *, at_once: bool = False) -> Requests:
        """Shows a sign of life now and then, or ``at_once``, and reads what users ask for.

        Raises:
            HeldError: another controller has taken over, and waits until this one does :meth:`leave`.
            StudyError: the controller task was deleted.
        """
        now = self._clock()
        if now - self._renewed_at < self._renew_after_s and not at_once:
            return Requests()
        state = self._task.read()
        if state.holder != self.me:
            how = f"was taken over by {state.holder}" if state.holder else "was released by another process"
            raise HeldError(f"{self._name} {how}")
        if state.was_given_up:  # it was cut off from the server, and is back
            self._task.start_again()
        self._task.ping()
        self._renewed_at, self._renew_after_s = now, RENEW_S
        stop = state.properties.get("stop", "")
        if state.is_stopping:
            stop = "abort"
        retry = tuple(int(number) for number in re.findall(r"\d+", state.properties.get("retry", "")))
        if retry:
            self._task.set(retry="")
        return replace(self._ordered(state), stop=stop, retry=retry)

    def ordered(self) -> Requests:
        """What was ordered by hand and is not on record yet, in one call; no sign of life."""
        return self._ordered(self._task.read())

    @staticmethod
    def _ordered(state: _State) -> Requests:
        return Requests(orders=pending(state.properties), narrowed=state.properties.get(NARROWED, ""))

    def drop_orders(self, names: Collection[str]) -> None:
        """Takes orders off the controller task, whose effects are on record."""
        drop(self._api, self._task.task_id, names)

    def leave(self) -> None:
        """Tells the controller that has taken over that nothing of this holder runs any more."""
        self._task.set(left_by=self.me)

    def stopping(self) -> None:
        """Notes that the study is about to end its trials, so that a successor can tell these from aborted ones."""
        self._task.set(stopping=f"{self._now:.3f}")

    def is_mine(self) -> bool:
        """Whether no other controller has taken the study; one that has is told that this one leaves."""
        if self._task.read().holder == self.me:
            return True
        self.leave()
        return False

    def release(self, reason: str = "") -> None:
        """Lets go of what :meth:`is_mine`; ``reason`` is why it ended."""
        self._task.set(**{"holder": "", "driven_s": f"{self.driven_s:.3f}", ENDED: reason})

    def clear(self, reason: str = "") -> None:
        """Ends the study from outside, where no controller drives it: takes the lease of one that is gone."""
        state = self._task.read()
        # In one call: some servers take it for the holder's last sign of life.
        self._task.set(
            **{
                "holder": "",
                "driven_s": f"{state.driven_s:.3f}",
                "stopping": f"{self._now:.3f}",
                ENDED: reason,
            }
        )

    def is_held(self) -> bool:
        """True if any controller has the lease, and shows signs of life."""
        state = self._task.read()
        return is_held_by(state.holder, state.updated_at, self._now)

    def properties(self) -> dict[str, str]:
        """User properties with which a controller task is created and held at once."""
        return {"holder": self.me, "driven_s": "0"}

    def _is_gone(self, state: _State) -> bool:
        return not is_held_by(state.holder, state.updated_at, self._now)

    def _wait_for_end_of(self, state: _State, on_note: Callable[[str], None]) -> None:
        left_s = LEASE_S - (self._now - state.updated_at)
        text = f"held by {state.holder}: waiting up to {left_s:.0f} s for a sign of life"
        on_note(Note(text, level="warning", task=self._task.task_id))
        while not self._is_gone(state):
            self._pause()
            seen = self._task.read()
            if not seen.holder:
                return
            if seen.updated_at != state.updated_at:
                command = "resume" if self._what == "study" else f"{self._what} resume"
                raise HeldError(
                    f"{self._name} is driven by {seen.holder}, which is alive; to take its place: "
                    f"clearml-hpo {command} {self._task.task_id} --take-over"
                )

    def _displace(self, state: _State, on_note: Callable[[str], None]) -> None:
        """Takes the lease of a live holder, and waits until it has noticed."""
        text = f"taking over from {state.holder}: waiting until it has left"
        on_note(Note(text, level="warning", task=self._task.task_id))
        self.driven_before_s = state.driven_s
        self._task.claim(holder=self.me)
        until = self._clock() + LEASE_S
        while self._clock() < until:
            self._pause()
            seen = self._task.read()
            if seen.properties.get("left_by") == state.holder or not is_held_by(state.holder, self._now, self._now):
                return
            if seen.holder != self.me:
                raise HeldError(f"{self._name} was taken by {seen.holder or 'no controller'} at the same moment")

    def _pause(self) -> None:
        if self._wait(_LOOK_S):
            raise StudyError(f"interrupted while waiting for {self._name}")


def is_held_by(holder: str, updated_at: float, now: float) -> bool:
    """Whether there is a holder that shows signs of life; times are the server's."""
    if not holder or now - updated_at > LEASE_S:
        return False
    found = _HOLDER.fullmatch(holder)
    is_here = found is not None and (found["host"], found["machine"]) == (socket.gethostname(), pid_space())
    return found is None or not is_here or _lives(int(found["pid"]), found["since"])


def _describe(now: float) -> str:
    since = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds")
    return f"{socket.gethostname()} pid {os.getpid()} since {since} #{pid_space()}-{secrets.token_hex(3)}"


def _parse(since: str) -> float:
    return datetime.fromisoformat(since).timestamp()


def _lives(pid: int, since: str) -> bool:
    """Whether the process that held since then still runs; another one may have its number by now."""
    try:
        return psutil.Process(pid).create_time() <= _parse(since) + 2.0
    except psutil.NoSuchProcess:
        return False


def driven_s(properties: Mapping[str, str], updated_at: float) -> float:
    """Seconds that a study was driven until ``updated_at``, by its present holder and those before."""
    before = float(properties.get("driven_s") or 0.0)
    found = _HOLDER.fullmatch(properties.get("holder", ""))
    return before if found is None else before + max(0.0, updated_at - _parse(found["since"]))


def stopping_since(properties: Mapping[str, str]) -> float | None:
    """When the last holder of a study began to end its trials; None if it has not, or an earlier one has."""
    text = properties.get("stopping", "")
    found = _HOLDER.fullmatch(properties.get("holder", ""))
    if not text or (found is not None and _parse(found["since"]) > float(text)):
        return None
    return float(text)
