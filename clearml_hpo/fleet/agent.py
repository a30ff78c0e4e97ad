"""One agent: a daemon, started again when it dies, seen through its log and its processes."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from clearml_hpo.fleet.logtail import LogTail
from clearml_hpo.fleet.restarts import Restarts
from clearml_hpo.fleet.slots import AgentSlot
from clearml_hpo.fleet.state import AgentState
from clearml_hpo.machine.processes import ProcessId, end_session, identify

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launch:
    """How one agent's daemon is started."""

    slot: AgentSlot
    worker_id: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path


class Agent:
    """Keeps one daemon running.

    Attributes:
        phase: see ``AgentState``; ``step`` moves it.
        tail: what the daemon's log tells.
        on_death: called with this agent when a daemon has died by itself, before its successor is started.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        on_death: Callable[[Agent], None] = lambda agent: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.launch = launch
        self.phase = "waiting"
        self.note = ""
        self.tail = LogTail(launch.log)
        self.on_death = on_death
        self._clock = clock
        self._restarts = Restarts()
        self._start_at = clock()
        self._started_at = 0.0
        self._daemon: subprocess.Popen[bytes] | None = None
        self._identity: ProcessId | None = None

    @property
    def state(self) -> AgentState:
        """What others may know of it."""
        return AgentState(
            slot=self.launch.slot,
            worker_id=self.launch.worker_id,
            phase=self.phase,
            process=self._identity,
            restarts=self._restarts.total,
            task=self.tail.task,
            log=self.launch.log,
            note=self.note,
        )

    @property
    def alive(self) -> bool:
        """Whether its daemon runs."""
        return self._daemon is not None and self._daemon.poll() is None

    def step(self) -> None:
        """Looks after the daemon: starts it when it is time, reads its log, notices its death."""
        if self._daemon is None:
            if self.phase == "waiting" and self._clock() >= self._start_at:
                self._start()
            return
        self.look()
        if not self.alive:
            self._died()

    def look(self) -> None:
        """Reads the log; a daemon that is neither idle nor busy is still starting."""
        self.tail.read()
        self.tail.rotate()
        if self.phase in ("starting", "idle", "busy") and (self.tail.idle or self.tail.task):
            self.phase = "busy" if self.tail.task else "idle"

    def task_process(self) -> psutil.Process | None:
        """The process of the task that the daemon runs, if it runs one."""
        if self._daemon is None:
            return None
        try:
            children = psutil.Process(self._daemon.pid).children()
        except psutil.NoSuchProcess:
            return None
        return next((child for child in children if _runs(child)), None)

    def signal(self, number: int) -> None:
        """Signals the daemon alone, not its task."""
        if self._daemon is not None and self.alive:
            self._daemon.send_signal(number)

    def kill(self) -> None:
        """Ends the daemon and its task without asking them."""
        if self._identity is not None:
            end_session(self._identity, grace_s=0)

    def ended(self) -> None:
        """Ends what the daemon has left behind and is done."""
        if self._identity is not None:
            end_session(self._identity)
        if self._daemon is not None:
            self._daemon.wait()
        self.phase, self._daemon, self._identity = "ended", None, None

    def _start(self) -> None:
        self.tail.skip()
        self.tail.forget()
        self.launch.log.parent.mkdir(parents=True, exist_ok=True)
        with self.launch.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                list(self.launch.command),
                env=dict(self.launch.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._identity = identify(self._daemon.pid)
        self._started_at = self._clock()
        self.phase = "starting"
        _log.info("%s: started, pid %d", self.launch.worker_id, self._daemon.pid)

    def _died(self) -> None:
        assert self._daemon is not None and self._identity is not None
        lived_s = self._clock() - self._started_at
        self._restarts = self._restarts.after(lived_s)
        self.note = f"died after {lived_s:.0f} s, exit status {self._daemon.returncode}"
        end_session(self._identity, grace_s=0)  # a task without its agent can only do harm
        self.on_death(self)
        self._daemon, self._identity = None, None
        self.tail.forget()
        if self._restarts.given_up:
            self.phase, verdict = "failed", "too many quick deaths, given up"
        else:
            self.phase, verdict = "waiting", f"is started again in {self._restarts.delay_s:.0f} s"
            self._start_at = self._clock() + self._restarts.delay_s
        self.note += f"; {verdict}"
        _log.warning("%s: %s (log: %s)", self.launch.worker_id, self.note, self.launch.log)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def runs(process: psutil.Process | None) -> bool:
    """Whether a task's process is there and has not ended."""
    return process is not None and process.is_running() and _runs(process)
