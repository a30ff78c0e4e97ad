"""Runs tasks in the slots of this machine, one process each. Knows nothing of a server."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from clearml_hpo.backend.codes import LOST
from clearml_hpo.core.errors import InputError
from clearml_hpo.machine.environ import without_foreign
from clearml_hpo.machine.settings import child_environ
from clearml_hpo.machine.watchdog import Watchdog
from clearml_hpo.scripts.startup import with_startup
from clearml_hpo.workers import programs
from clearml_hpo.workers.forks import WarmParents
from clearml_hpo.workers.programs import Program
from clearml_hpo.workers.requirements import unmet
from clearml_hpo.workers.slots import GpuMemory, Slot
from clearml_hpo.workers.task_process import AgentProcess, Process, TaskProcess
from clearml_hpo.workers.task_source import Taken

TICK_S = 0.05
"""How often processes that run are looked at."""

_MOST_NAMED = 3
_CAN_FORK = sys.platform == "linux"  # elsewhere whether a process may be forked cannot be seen
_OF_THE_SCRIPT = ("CLEARML_TASK_ID", "CLEARML_LOG_TASK_TO_BACKEND")  # an agent sets them for the script itself


class NotRunnableError(Exception):
    """A task cannot be run here; the text is the reason of its failure."""


@dataclass
class Run:
    """A task in a slot.

    Attributes:
        reason: why it is stopped; empty if it is not.
        is_foreign: True if a user or the controller has given the task another status, which is left as it is.
        is_draft: True if that is the status of a draft, although the task ran: a user has dequeued it.
    """

    taken: Taken
    slot: Slot
    process: Process
    reason: str = ""
    is_foreign: bool = False
    is_draft: bool = False

    @property
    def task_id(self) -> str:
        """Id of the task."""
        return self.taken.task_id

    def stop(self, reason: str) -> None:
        """Ends the process, unless it has come to its own end; an earlier reason counts."""
        if self.process.code is None:
            self.reason = self.reason or reason
            self.process.terminate()


class Runner:
    """The processes of tasks, and the slots that they are in.

    Attributes:
        slots: what may run at once.
        runs: by name of the slot; a run stays there until it is released.
        folder: of code and logs; removed when this process ends, however it ends.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        memory: GpuMemory | None,
        warm: bool,
        venv: bool,
        image: str,
        on_note: Callable[[str], None],
    ) -> None:
        """Starts the watchdog; see ``LocalWorkers`` for the arguments."""
        self.slots = tuple(slots)
        self.runs: dict[str, Run] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="clearml-hpo-local-"))
        self._numbers = count()
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="removes files")  # which some disks take long for
        self._memory = memory
        self._venv = venv
        self._image = image
        self._note_once = cache(on_note)
        self._watchdog = Watchdog(self.folder)  # which removes the folder, too
        gpus = len({slot.gpu for slot in slots if slot.gpu})
        can_fork = warm and _CAN_FORK
        self._parents = WarmParents(self.folder, self._watchdog, on_note, gpus) if can_fork else None
        self._environ = with_startup({**without_foreign(child_environ()), **_quick_reports(self.folder)})

    def free_slots(self) -> Sequence[Slot]:
        """Slots that may all be filled now, in this order: GPUs with the fewest tasks of ours come first.

        Where memory decides, there is one at the most: a task shows what it needs when it runs.
        """
        beside: Counter[str | None] = Counter(run.slot.gpu for run in self.runs.values())
        ranked = []
        for slot in self.slots:
            if slot.name not in self.runs:
                ranked.append((beside[slot.gpu], slot))
                beside[slot.gpu] += 1  # as if this one was filled before the next of its GPU
        free = [slot for _, slot in sorted(ranked, key=itemgetter(0))]
        memory = self._memory
        if memory is None:
            return free
        allowed = (slot for slot in free if slot.gpu is None or memory.allows(slot.gpu, self._running_on(slot.gpu)))
        return [*islice(allowed, 1)]

    def start(
        self, slot: Slot, taken: Taken, task: Mapping[str, Any], worker: str, archive: bytes | None = None
    ) -> Run:
        """Starts a task in a free slot.

        Args:
            task: with the fields of ``programs.FIELDS``.
            worker: id of the slot's worker.
            archive: the files of its script, if ``programs.archive_of`` says that it has some.

        Raises:
            NotRunnableError: the task cannot be run here.
            OSError: no process can be started now.
        """
        place = self.folder / slot.name
        lacking = unmet(task.get("script") or {}) if self._venv else []
        try:
            program = programs.prepare(task, place, self.folder / "mirrors", self._image, archive)
        except OSError as error:  # this machine's fault: no space, no permission
            raise NotRunnableError(f"{LOST} {error}") from None
        except (InputError, ValueError) as error:  # ValueError: quotes that do not close, half characters
            raise NotRunnableError(str(error)) from None
        environ = {
            **self._environ,
            **slot.environ(),
            "CLEARML_TASK_ID": taken.task_id,
            "CLEARML_LOG_TASK_TO_BACKEND": "1",
            "CLEARML_WORKER_ID": worker,
        }
        if self._memory is not None and slot.gpu is not None:
            self._memory.note(slot.gpu, self._running_on(slot.gpu))
        if lacking:
            process = self._by_agent(taken.task_id, slot, environ, lacking)
        else:
            process = self._process(task, program, environ, place / "console.log")
        self.runs[slot.name] = run = Run(taken, slot, process)
        return run

    def step(self, now: float) -> None:
        """Notices which processes have ended; kills those whose time to end is over."""
        for run in self.runs.values():
            run.process.step(now)
        if self._parents:
            self._parents.step(now)

    def release(self, run: Run) -> None:
        """Frees the slot of a run that has ended."""
        del self.runs[run.slot.name]
        run.process.close()
        old = self.folder / f"old{next(self._numbers)}"
        with contextlib.suppress(OSError, RuntimeError):  # it is closed: the watchdog removes all
            (self.folder / run.slot.name).rename(old)
            self._remover.submit(shutil.rmtree, old, ignore_errors=True)

    def stop(self, reason: str) -> None:
        """Ends all processes; returns when they have ended, within some seconds."""
        for run in self.runs.values():
            run.process.step()
            run.stop(reason)
        while any(run.process.code is None for run in self.runs.values()):
            for run in self.runs.values():
                run.process.step()
            time.sleep(TICK_S)

    def close(self, reason: str) -> None:
        """Kills what still runs, for ``reason``, and ends the warm parents and the watchdog."""
        for run in list(self.runs.values()):
            run.reason = run.reason or reason
            run.process.kill()
        if self._parents:
            self._parents.close()
        self._remover.shutdown(wait=False, cancel_futures=True)
        self._watchdog.close()

    def filenos(self) -> Sequence[int]:
        """Descriptors that become readable when a warm parent has sent a message."""
        return self._parents.filenos() if self._parents else ()

    def _running_on(self, gpu: str | None) -> int:
        return sum(run.slot.gpu == gpu for run in self.runs.values()) if gpu else 0

    def _process(self, task: Mapping[str, Any], program: Program, environ: Mapping[str, str], log: Path) -> Process:
        if self._parents is None:
            return TaskProcess(program, programs.environ_of(program, environ), log, self._watchdog)
        template = json.dumps(task.get("script") or {}, sort_keys=True)
        return self._parents.run(template, program, environ, log)

    def _by_agent(self, task_id: str, slot: Slot, environ: Mapping[str, str], lacking: Sequence[str]) -> Process:
        asked = ", ".join(lacking[:_MOST_NAMED]) + (", ..." if len(lacking) > _MOST_NAMED else "")
        self._note_once(f"run by clearml-agent, in a virtual environment: tasks that ask for {asked}")
        place = self.folder / slot.name
        own = {"CLEARML_AGENT__AGENT__VENVS_DIR": json.dumps(str(place / "venvs"))}
        environ = {name: value for name, value in environ.items() if name not in _OF_THE_SCRIPT} | own
        return AgentProcess(programs.by_agent(task_id, slot.gpu, place), environ, place / "console.log", self._watchdog)


def _quick_reports(folder: Path) -> dict[str, str]:
    """The environment in which the SDK reports from the script's own process.

    A reporting process of its own costs a short script some 12 s at its end. The user's configuration is read after
    ours, so that it counts.
    """
    environ = child_environ()
    named = environ.get("CLEARML_CONFIG_FILE") or environ.get("TRAINS_CONFIG_FILE")
    files = [named] if named else ["~/trains.conf", "~/clearml.conf"]
    own = folder / "clearml.conf"
    lines = ["sdk { development { report_use_subprocess: false } }"]
    lines += [f'include file("{path}")' for file in files if (path := Path(file).expanduser().absolute()).is_file()]
    own.write_text("\n".join(lines) + "\n")
    return {"CLEARML_CONFIG_FILE": str(own), "CLEARML_SUPPRESS_UPDATE_MESSAGE": "1"}
