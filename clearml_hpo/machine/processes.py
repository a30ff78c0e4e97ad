"""Processes that outlive the one which looks at them: known by pid and birth, ended with all they started."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ProcessId:
    """A process for good: pids come again, a pid with its time of birth does not."""

    pid: int
    created: float


def identify(pid: int) -> ProcessId:
    """The process that has ``pid`` now; of one that is gone, an identity that is not alive."""
    try:
        return ProcessId(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return ProcessId(pid, 0.0)


def is_alive(process: ProcessId | None) -> bool:
    """Whether it runs (a zombie does not)."""
    if process is None:
        return False
    try:
        now = psutil.Process(process.pid)
        return abs(now.create_time() - process.created) < 0.01 and now.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_space() -> str:
    """Where this process's pids count: tells apart what may have one host name.

    Such are machines, starts of one, and containers with processes of their own.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    seen = [boot.read_text() if boot.exists() else "", str(uuid.getnode())]
    with contextlib.suppress(OSError):
        seen.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256("".join(seen).encode()).hexdigest()[:6]


def wait_until_gone(process: ProcessId, timeout_s: float) -> bool:
    """Waits for a process, a child of this one or not; whether it has ended."""
    deadline = time.monotonic() + timeout_s
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    with contextlib.suppress(ChildProcessError):  # a child of this process leaves no zombie behind
        os.waitpid(process.pid, os.WNOHANG)
    return True


def send(process: ProcessId, number: signal.Signals) -> None:
    """Signals a process if it is still that one."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def session_members(session: int) -> list[int]:
    """Pids of all living processes of a session, whatever process groups they made.

    An agent is started as the leader of a session of its own, so these are the agent, its task, and what the
    task started, also when the agent is dead and they belong to no process.
    """
    members = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                members.append(pid)
    return members


def descendants_apart(leader: int) -> list[ProcessId]:
    """What a session has started, and it has started, that has made sessions of its own."""
    parents: dict[int, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            parents[process.pid] = process.ppid()
    within = {*session_members(leader)}
    family = {*within}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return [identify(pid) for pid in sorted(family - within)]


def end_session(leader: ProcessId, grace_s: float = 3.0) -> None:
    """Ends all processes of a leader's session: asks them to terminate, then kills those that have not.

    With no ``grace_s`` they are killed without being asked.
    While a session has members its leader's pid is not given to another process. So if it was, the session is empty.
    """
    if psutil.pid_exists(leader.pid) and identify(leader.pid) != leader:
        return
    asked = [(signal.SIGTERM, grace_s)] if grace_s else []
    for number, patience_s in (*asked, (signal.SIGKILL, 5.0)):
        for pid in session_members(leader.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a frozen one could not follow
        deadline = time.monotonic() + patience_s
        while session_members(leader.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
