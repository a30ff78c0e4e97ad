"""Tasks as forks of warm parents: the side of the worker. The other side is ``workers/warm/``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from clearml_hpo.backend.codes import LOST
from clearml_hpo.core.notes import Note
from clearml_hpo.machine.processes import session_members
from clearml_hpo.machine.watchdog import Watchdog
from clearml_hpo.workers.checkout import CheckoutPlan
from clearml_hpo.workers.programs import Program, environ_of
from clearml_hpo.workers.task_process import Process, start
from clearml_hpo.workers.warm.channel import Channel
from clearml_hpo.workers.warm.child import ForkRequest

MOST_PARENTS = 4
"""Most parents for each GPU; idle ones beyond that are ended, the longest idle first."""
LEAST_FREE = 0.05
"""Least share of the memory that should be free; below it, idle parents are ended."""
IDLE_S = 600.0
"""Seconds without a run after which a parent is ended."""
PREPARE_S = 300.0
"""Seconds that a parent may take to import what its template imports."""
FORK_S = 30.0
"""Seconds that a parent may take to fork; after them it is killed, and its task runs in a new Python."""
_MOST_DEATHS = 3
_SEND_S = 10
"""How long a message may take into the socket of a parent; one that hangs counts as gone."""
_WAIT_S = 0.01
"""How often the end of a fork is looked for that was killed."""
_KILL_S = 5.0
"""How long a fork that was killed is waited for; SIGKILL works at once, unless its parent hangs."""
# Of one run: all the rest of the environment is the parent's from its start, before any library is loaded.
_OF_A_RUN = ("CLEARML_TASK_ID", "CLEARML_WORKER_ID")
# The allocator of pyarrow, which pandas loads where there is one, would start a thread: nothing could be forked then.
_ONE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
_NO_TASK = "0" * 32  # a library that asks for the task while it is imported is to fail, not to make a task


class WarmParent:
    """A process that has imported what a template imports, and forks for each run.

    Attributes:
        is_ready: True once its imports are done, so that it can be asked to fork.
        refusal: why it will not fork; empty if it will.
        is_gone: True if it has died, or hangs.
        idle_since: when its last run ended, in seconds of the monotonic clock.
    """

    def __init__(self, program: Program, environ: Mapping[str, str], folder: Path, watchdog: Watchdog) -> None:
        """Starts it, with a copy of the program in ``folder``."""
        self.is_ready = self.is_gone = False
        self.refusal = ""
        self.idle_since = time.monotonic()
        self._runs: dict[int, WarmProcess] = {}
        self._asked: dict[int, float] = {}  # runs that are not forked yet, and since when
        self._folder = folder
        self._watchdog = watchdog
        self._give_up_at = time.monotonic() + PREPARE_S
        prepare = _copy(program, folder)
        here, there = socket.socketpair()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_S, 0))
        with there, (folder / "parent.log").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "clearml_hpo.workers.warm.parent", str(there.fileno())],
                cwd=folder,
                env={**_ONE_THREAD, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[there.fileno()],
                start_new_session=True,
            )
        watchdog.watch(self._process.pid)
        self.channel = Channel(here)
        self.channel.send(prepare=prepare)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def step(self, now: float) -> None:
        """Reads its messages; notices that it is gone."""
        if self.is_gone:
            return
        for message in self.channel.received():
            self._handle(message)
        if self._runs:
            self.idle_since = now
        if not self.is_ready and not self.refusal and now >= self._give_up_at:
            self.refusal = f"its imports took longer than {PREPARE_S:.0f} s"
        hangs = any(now - since >= FORK_S for since in self._asked.values())
        self.is_gone = self.channel.closed or hangs

    def end(self) -> None:
        """Kills it; nothing is lost."""
        self.is_gone = True
        self.channel.close()
        for pid in session_members(self.pid):  # its imports may have started some
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._watchdog.forget(self.pid)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_idle(self) -> bool:
        """True if it is ready, and no fork of it runs."""
        return self.is_ready and not self._runs

    def fork(self, request: ForkRequest, process: WarmProcess) -> None:
        """Asks it for a fork; ``process`` is told the outcome."""
        self._runs[request.run] = process
        self._asked[request.run] = time.monotonic()
        self.channel.send(fork=vars(request))

    def reap(self, run: int) -> None:
        """Lets the pid of a run go that has ended; nothing of it runs any more."""
        self._runs.pop(run, None)
        self.channel.send(reap=run)

    def _handle(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self.is_ready, self.refusal = True, message["ready"]
        elif "refused" in message:
            del self._asked[message["refused"]]
            self._runs.pop(message["refused"]).refused()
        elif "forked" in message:
            run = message["forked"]
            del self._asked[run]
            self.channel.send(**{self._runs[run].forked(message["pid"]): run})
        elif "ended" in message and self._runs[message["ended"]].ended(message["code"]):
            self.reap(message["ended"])


class WarmProcess(Process):
    """A task in a fork of a warm parent, or in a new Python if the parent cannot fork."""

    def __init__(self, request: ForkRequest, program: Program, parent: WarmParent | None, watchdog: Watchdog) -> None:
        """Asks ``parent`` as soon as that is ready.

        Args:
            request: what the fork is to run.
            program: the same, for a new Python.
            parent: None for a template that is not forked.
            watchdog: knows of the process before it begins.
        """
        super().__init__(Path(request.log), watchdog)
        self._request = request
        self._program = program
        self._parent = parent
        self._started: subprocess.Popen[bytes] | None = None
        self._is_asked = self._is_refused = self._is_lost = False
        self._ended: int | None = None
        self._begin()

    def reason(self) -> str:
        """Why it failed; if its parent died, the task is lost."""
        return f"{LOST} the warm process that it was forked from has died" if self._is_lost else super().reason()

    def terminate(self) -> None:
        """Ends it within ``GRACE_S``, or at once if it has not begun."""
        if self.pid is None and self.code is None:
            self.code = -signal.SIGTERM
        super().terminate()

    def kill(self) -> None:
        """Ends it at once."""
        if self.pid is None and self.code is None:
            self.code = -signal.SIGKILL
        super().kill()

    # --- messages of its parent --------------------------------------------------------------------------------------

    def forked(self, pid: int) -> str:
        """Notes that the parent has forked. Returns whether the fork is to ``go``, or the parent to ``drop`` it."""
        if self.code is not None:
            return "drop"
        self.pid = pid
        self._watchdog.watch(pid)
        return "go"

    def refused(self) -> None:
        """Notes that the parent could not fork this time."""
        self._is_refused = True  # a new Python is started at the next look: it may fail for the same reason

    def ended(self, code: int) -> bool:
        """Notes that it has ended. True if its pid may go at once, because it never began."""
        self._ended = code
        return self.pid is None

    # --- its own -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._parent is None or self._parent.is_gone or self._parent.refusal or self._is_refused:
            self._start()
        elif self._parent.is_ready and not self._is_asked:
            self._is_asked = True
            self._parent.fork(self._request, self)

    def _start(self) -> None:
        self._started = start(self._program, self._request.environ, self._log, self._watchdog)
        self.pid = self._started.pid

    def _poll(self) -> int | None:
        if self._started is not None:
            return self._started.poll()
        assert self._parent is not None
        self._parent.step(time.monotonic())
        if self.pid is None:
            self._begin()
        elif self._ended is None and self._parent.is_gone:
            self._is_lost = True
            return -signal.SIGKILL
        return self._ended

    def _wait(self) -> None:
        until = time.monotonic() + _KILL_S
        while self._poll() is None and time.monotonic() < until:
            time.sleep(_WAIT_S)

    def _clean_up(self) -> None:
        super()._clean_up()
        if self._started is None and self._parent is not None:
            self._parent.reap(self._request.run)

    def _members(self) -> Collection[int]:
        """Its session, and the fork itself, which joins it a moment later; its pid is kept until it is reaped."""
        members = super()._members()
        is_kept = self._started is None and self.pid is not None and not self._is_lost and self._ended is None
        return {*members, self.pid} if is_kept and self.pid is not None else members


class WarmParents:
    """One parent for each template and environment that is in use."""

    def __init__(self, folder: Path, watchdog: Watchdog, on_note: Callable[[str], None], gpus: int = 0) -> None:
        """Starts none yet.

        Args:
            folder: contains a folder for each parent.
            watchdog: ends the parents if this process dies.
            on_note: prints a line for the user, once for each template that is not kept warm.
            gpus: how many GPUs there are. A template has a parent on each of them, because libraries may look for
                GPUs when they are imported.
        """
        self._places = max(1, gpus)
        self._folder = folder
        self._watchdog = watchdog
        self._on_note = on_note
        self._parents: dict[str, WarmParent] = {}
        self._deaths: Counter[str] = Counter()
        self._cold: set[str] = set()
        self._numbers = count(1)

    def run(self, template: str, program: Program, environ: Mapping[str, str], log: Path) -> WarmProcess:
        """Runs a program.

        Args:
            template: text that differs between templates: their code, and what it requires.
            program: as ``programs.prepare`` has made it.
            environ: the whole environment of the run.
            log: file of its output.
        """
        shared = {name: _NO_TASK if name in _OF_A_RUN else value for name, value in environ.items()}
        key = hashlib.sha256(json.dumps([template, sorted(shared.items())]).encode()).hexdigest()
        request = ForkRequest(
            run=next(self._numbers),
            environ=environ_of(program, environ),
            folder=str(program.folder),
            words=list(program.words),
            plan=str(program.plan or ""),
            log=str(log),
            roots=[*map(str, program.roots)],
        )
        can_fork = bool(program.words or program.plan)  # else another program starts the script
        parent = self._parent(key, program, shared) if can_fork else None
        return WarmProcess(request, program, parent, self._watchdog)

    def step(self, now: float) -> None:
        """Reads the messages of the parents; ends those that are of no more use."""
        for key, parent in list(self._parents.items()):
            parent.step(now)
            if parent.refusal and not parent.is_gone:
                self._give_up(key, parent.refusal)
            elif parent.is_gone:
                self._remove_dead(key)
        self._end_idle(now)

    def filenos(self) -> list[int]:
        """Descriptors that become readable when a parent has sent a message."""
        return [parent.channel.fileno() for parent in self._parents.values() if not parent.is_gone]

    def close(self) -> None:
        """Ends all parents; their runs have ended."""
        for parent in self._parents.values():
            parent.end()
        self._parents.clear()

    def _parent(self, key: str, program: Program, environ: Mapping[str, str]) -> WarmParent | None:
        found = self._parents.get(key)
        if found is not None and found.is_gone:
            self._remove_dead(key)
        if key in self._cold:
            return None
        if key not in self._parents:
            folder = self._folder / f"parent{next(self._numbers)}"
            self._parents[key] = WarmParent(program, environ, folder, self._watchdog)
        return self._parents[key]

    def _end_idle(self, now: float) -> None:
        idle = sorted((parent.idle_since, key) for key, parent in self._parents.items() if parent.is_idle)
        for i, (since, key) in enumerate(idle):
            are_many = len(self._parents) > MOST_PARENTS * self._places and i < len(idle) - 1
            if now - since >= IDLE_S or are_many or _is_memory_short():
                self._parents.pop(key).end()

    def _remove_dead(self, key: str) -> None:
        self._parents.pop(key).end()
        self._deaths[key] += 1
        if self._deaths[key] >= _MOST_DEATHS:
            self._cold.add(key)
            text = f"a template is not kept warm: its warm process has died {_MOST_DEATHS} times"
            self._on_note(Note(text, level="warning"))

    def _give_up(self, key: str, reason: str) -> None:
        self._parents.pop(key).end()
        self._cold.add(key)
        self._on_note(f"a template is not kept warm, each of its tasks starts a new Python: {reason}")


def _is_memory_short() -> bool:
    memory = psutil.virtual_memory()
    return bool(memory.available < LEAST_FREE * memory.total)


def _copy(program: Program, folder: Path) -> dict[str, Any]:
    """What a parent is to prepare, with a copy of the files: those of a run are removed with it."""
    folder.mkdir()
    if program.plan is None:
        copy, code = folder / "code", program.code or program.folder
        shutil.copytree(code, copy, symlinks=True)
        within = [copy / path.relative_to(code) for path in (program.folder, *program.roots)]
        return {"words": list(program.words), "folders": [*map(str, within)], "plan": ""}
    plan = CheckoutPlan.read(program.plan)
    if plan.patch:
        plan = replace(plan, patch=str(shutil.copy(plan.patch, str(folder / "uncommitted.patch"))))
    path = folder / "checkout.json"
    replace(plan, tree=str(folder / "tree")).write(path)
    return {"words": [], "folders": [], "plan": str(path)}
