"""The hold of one controller on its study or campaign, so that two never drive the same one.

It is a lease, kept on the controller task where every controller sees it, wherever it runs: the user property
``holder`` says who, the task's last update is the last sign of life. A holder that dies without a word loses the hold
when the lease runs out; on its own machine at once.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import psutil

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import STOPPING, is_non_responsive
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.backend.study_records import ENDED, OWNER, own_properties
from clearml_hpo.backend.trial_tasks import epoch
from clearml_hpo.core.errors import HeldError, StudyError
from clearml_hpo.machine.processes import pid_space

LEASE_S = 90.0
RENEW_S = 15.0
FIRST_RENEWAL_S = 3.0
_SETTLE_S = 1.0
_LOOK_S = 1.0
_HOLDER = re.compile(r"(?P<host>\S+) pid (?P<pid>\d+) since (?P<since>\S+) #(?P<machine>\w+)-\w+")


@dataclass(frozen=True)
class Requests:
    """What people ask of whoever drives the study.

    Attributes:
        stop: ``abort`` or ``drain``; empty if it is to go on.
        retry: numbers of trials to run again.
    """

    stop: str = ""
    retry: tuple[int, ...] = ()


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
        """Whether somebody aborts the task in the web page; one that an agent runs is asked to end itself."""
        return (self.status != "in_progress" and not self.was_given_up) or STOPPING in self.message

    @property
    def holder(self) -> str:
        return self.properties.get("holder", "")

    @property
    def driven_s(self) -> float:
        """Seconds that earlier holders drove the study; of one that died, until its last sign of life."""
        return driven_s(self.properties, self.updated_at)


class Hold:
    """One controller's hold on one study.

    Attributes:
        me: what the property ``holder`` says while the hold is ours.
        stopping_since: when the holder before began to end its trials, if it did; known once the hold is acquired.
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
        self._study_id = study_id
        self._clock = clock
        self._wait = wait
        self._since = clock()
        self._driven_before_s = 0.0
        self.stopping_since: float | None = None
        self._renewed_at = self._since
        self._renew_after_s = FIRST_RENEWAL_S
        self.me = _describe(self._now)

    @property
    def _now(self) -> float:
        """By the server's clock."""
        return self._clock() + self._api.server_ahead_s

    @property
    def driven_s(self) -> float:
        """Seconds that the study was driven, by this holder and those before."""
        return self._driven_before_s + self._clock() - self._since

    @property
    def since(self) -> float:
        """When the hold was taken, by the server's clock."""
        return self._since + self._api.server_ahead_s

    @property
    def driven_before_s(self) -> float:
        """Seconds that earlier holders drove the study."""
        return self._driven_before_s

    def on(self, study_id: str) -> Hold:
        """The same hold, now that the study that was created with :meth:`properties` has an id."""
        self._study_id = study_id
        self._set(**{OWNER: study_id})
        return self

    def acquire(self, *, take_over: bool = False, on_note: Callable[[str], None] = lambda text: None) -> None:
        """Takes the hold on an existing study.

        A holder that shows no sign of life is waited for until its lease has run out.

        Raises:
            HeldError: another controller drives the study; with ``take_over`` it is told to leave, and waited for.
        """
        state = self._read()
        if state.holder and not self._is_gone(state):
            if take_over:
                self._displace(state, on_note)
            else:
                self._wait_for_end_of(state, on_note)
            state = self._read()
        self.stopping_since = stopping_since(state.properties)
        self._driven_before_s = state.driven_s if state.holder != self.me else self._driven_before_s
        self._since = self._renewed_at = self._clock()
        self.me = _describe(self._now)  # a successor counts from here, not from when the wait for the hold began
        held = {"holder": self.me, "driven_s": f"{self._driven_before_s:.3f}", "left_by": "", "stop": "", ENDED: ""}
        self._claim(**{**dict.fromkeys(state.foreign, ""), **held, OWNER: self._study_id})
        self._wait(_SETTLE_S)
        holder = self._read().holder
        if holder != self.me:
            raise HeldError(f"{self._what} {self._study_id} was taken by {holder} at the same moment")

    def renew(self, *, at_once: bool = False) -> Requests:
        """Shows a sign of life now and then, or ``at_once``, and reads what people ask for.

        Raises:
            HeldError: another controller has taken over, and waits until this one does :meth:`leave`.
            StudyError: the controller task was deleted.
        """
        now = self._clock()
        if now - self._renewed_at < self._renew_after_s and not at_once:
            return Requests()
        state = self._read()
        if state.holder != self.me:
            raise HeldError(
                f"{self._what} {self._study_id} was taken over by {state.holder or 'nobody: its hold was released'}"
            )
        if state.was_given_up:  # it was cut off from the server, and is back
            self._api.call("tasks.started", task=self._study_id, force=True, status_reason="heard of again")
        self._api.call("tasks.ping", task=self._study_id)
        self._renewed_at, self._renew_after_s = now, RENEW_S
        stop = state.properties.get("stop", "")
        if state.is_stopping:
            stop = "abort"
        retry = tuple(int(number) for number in re.findall(r"\d+", state.properties.get("retry", "")))
        if retry:
            self._set(retry="")
        return Requests(stop, retry)

    def leave(self) -> None:
        """Tells whoever has taken over that nothing of this holder runs any more."""
        self._set(left_by=self.me)

    def stopping(self) -> None:
        """Notes that the study is about to end its trials, so that a successor can tell these from aborted ones."""
        self._set(stopping=f"{self._now:.3f}")

    def is_mine(self) -> bool:
        """Whether no other controller has taken the study; one that has is told that this one leaves."""
        if self._read().holder == self.me:
            return True
        self.leave()
        return False

    def release(self, reason: str = "") -> None:
        """Lets go of what :meth:`is_mine`; ``reason`` is why it ended."""
        self._set(**{"holder": "", "driven_s": f"{self.driven_s:.3f}", ENDED: reason})

    def clear(self, reason: str = "") -> None:
        """Ends the study from outside, where no controller drives it: takes the hold from one that is gone."""
        state = self._read()
        # In one call: some servers take it for the holder's last sign of life.
        self._set(
            **{
                "holder": "",
                "driven_s": f"{state.driven_s:.3f}",
                "stopping": f"{self._now:.3f}",
                ENDED: reason,
            }
        )

    def is_held(self) -> bool:
        """Whether any controller holds the study, and shows signs of life."""
        state = self._read()
        return is_held_by(state.holder, state.updated_at, self._now)

    def properties(self) -> dict[str, str]:
        """User properties with which a controller task is created and held at once."""
        return {"holder": self.me, "driven_s": "0"}

    def _is_gone(self, state: _State) -> bool:
        return not is_held_by(state.holder, state.updated_at, self._now)

    def _wait_for_end_of(self, state: _State, on_note: Callable[[str], None]) -> None:
        left_s = LEASE_S - (self._now - state.updated_at)
        on_note(f"held by {state.holder}: waiting up to {left_s:.0f} s for a sign of life")
        while not self._is_gone(state):
            self._pause()
            seen = self._read()
            if not seen.holder:
                return
            if seen.updated_at != state.updated_at:
                command = "resume" if self._what == "study" else f"{self._what} resume"
                raise HeldError(
                    f"{self._what} {self._study_id} is driven by {seen.holder}, which is alive; to take its place: "
                    f"clearml-hpo {command} {self._study_id} --take-over"
                )

    def _displace(self, state: _State, on_note: Callable[[str], None]) -> None:
        """Takes the hold from a live holder, and waits until it has noticed."""
        on_note(f"taking over from {state.holder}: waiting until it has left")
        self._driven_before_s = state.driven_s
        self._claim(holder=self.me)
        until = self._clock() + LEASE_S
        while self._clock() < until:
            self._pause()
            seen = self._read()
            if seen.properties.get("left_by") == state.holder or not is_held_by(state.holder, self._now, self._now):
                return
            if seen.holder != self.me:
                raise HeldError(
                    f"{self._what} {self._study_id} was taken by {seen.holder or 'nobody'} at the same moment"
                )

    def _pause(self) -> None:
        if self._wait(_LOOK_S):
            raise StudyError(f"interrupted while waiting for {self._what} {self._study_id}")

    def _read(self) -> _State:
        tasks = self._api.call(
            "tasks.get_all",
            id=[self._study_id],
            only_fields=["id", "status", "status_message", "status_reason", "last_update", "hyperparams.properties"],
            search_hidden=True,
        )["tasks"]
        if not tasks:
            raise StudyError(f"the controller task {self._study_id} was deleted")
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

    def _claim(self, **properties: str) -> None:
        """Says who holds the study, and shows a sign of life, which properties alone are not."""
        self._set(**properties)
        self._api.call("tasks.ping", task=self._study_id)

    def _set(self, **properties: str) -> None:
        set_properties(self._api, self._study_id, properties)


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
