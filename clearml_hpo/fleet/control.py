"""Bringing a fleet up and down, and seeing how it does: what the rest of the program calls."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeGuard

from clearml_hpo.backend.http import Client
from clearml_hpo.core.errors import AgentError, ClearmlHpoError
from clearml_hpo.fleet import recovery
from clearml_hpo.fleet.configured import configured_server
from clearml_hpo.fleet.logtail import last_lines
from clearml_hpo.fleet.queues import attempt, queue_id, remove_queue, set_closed
from clearml_hpo.fleet.slots import AgentSlot
from clearml_hpo.fleet.state import AgentState, Fleet, FleetFolder, Plan
from clearml_hpo.fleet.supervisor import supervise
from clearml_hpo.machine.processes import ProcessId, end_session, identify, is_alive, send, wait_until_gone
from clearml_hpo.machine.settings import ServerAddress, child_environ

READY = frozenset({"idle", "busy"})
KEEP_LOGS_S = 7 * 24 * 3600.0
"""How long the logs of a fleet with a passing name stay (each ``run --local`` has a fleet of its own)."""
_POLL_S = 0.1
"""Pause between two looks at a fleet that starts or ends."""
_log = logging.getLogger(__name__)


def up(
    home: Path,
    server: ServerAddress | None,
    slots: Sequence[AgentSlot],
    *,
    with_parent: bool = False,
    timeout_s: float = 60,
    name: str = "default",
    venv: bool = False,
) -> Fleet:
    """Starts a fleet and returns when every agent serves its queue; a fleet that runs already is left as it is.

    Args:
        home: where fleets keep their files; it is made if need be.
        server: which ClearML server; None for the one that the environment or clearml.conf names.
        slots: one agent each.
        with_parent: whether the fleet ends, at once, when this process does.
        timeout_s: how long to wait for the agents.
        name: fleets of different names may run side by side.
        venv: whether each task gets a virtual environment with the packages it asks for.

    Raises:
        AgentError: an agent does not start (the message ends with the end of its log; nothing is left running),
            or a fleet of this name runs with other slots.
    """
    folder = FleetFolder(home, name)
    _forget_old(home, name)
    with folder.locked():
        running = _living(folder)
        if running is None:
            plan = Plan(name, tuple(slots), server, venv)
            folder.write_plan(plan)
            process = identify(_start(folder, home, os.getpid() if with_parent else None))
        elif running.slots == tuple(slots):
            process = running.supervisor
        else:
            raise AgentError(
                f"fleet {name} runs already, with {_listed(running.slots)}; give these agents a name of their own "
                f"(--name), or end that fleet first: clearml-hpo agents down --name {name}"
            )
        try:
            fleet = _wait_until_ready(folder, process, timeout_s)
            if _ready(fleet):
                return fleet
            raise AgentError(_why_not(folder, fleet, timeout_s))
        except BaseException:  # Ctrl-C too: what was not there before is not left behind
            if running is None:
                send(process, signal.SIGTERM)
                wait_until_gone(process, 60)
                _clean(folder)
            raise


def run(
    home: Path,
    server: ServerAddress | None,
    slots: Sequence[AgentSlot],
    *,
    name: str = "default",
    venv: bool = False,
    drain_s: float | None = None,
) -> None:
    """Runs a fleet in this process until a signal ends it; arguments as for ``up``, and as for ``supervise``.

    Raises:
        AgentError: a fleet of this name runs already, there is no server to work for, or all agents were given up.
    """
    folder = FleetFolder(home, name)
    if status(home, name=name) is not None:
        raise AgentError(
            f"fleet {name} runs already (clearml-hpo agents status --name {name}); "
            "give these agents a name of their own (--name), or end that fleet first"
        )
    plan = Plan(name, tuple(slots), server, venv)
    folder.write_plan(plan)
    supervise(folder, plan, drain_s=drain_s, gives_up=True)


def down(home: Path, *, name: str = "default", now: bool = False, timeout_s: float = 24 * 3600.0) -> bool:
    """Ends a fleet: each agent ends its current task, takes no new one, and leaves.

    Args:
        home: as for ``up``.
        name: which fleet.
        now: abort the running tasks instead of waiting for them.
        timeout_s: how long to wait.

    Returns:
        Whether there was anything to end.

    Raises:
        AgentError: tasks still run after ``timeout_s``; the agents go on leaving.
    """
    folder = FleetFolder(home, name)
    with folder.locked():
        fleet = _living(folder)
        if fleet is None:
            return False
        send(fleet.supervisor, signal.SIGTERM if now else signal.SIGUSR1)
        if not wait_until_gone(fleet.supervisor, timeout_s):
            busy = [f"{a.worker_id} (task {a.task})" for a in (folder.read_fleet() or fleet).agents if a.task]
            raise AgentError(
                f"after {timeout_s:.0f} s these agents have not ended their tasks: {', '.join(busy) or 'none'}; "
                "they leave when they have, or at once with: clearml-hpo agents down --now"
            )
        _clean(folder)
        return True


def status(home: Path, *, name: str = "default") -> Fleet | None:
    """How a fleet does; None if there is none.

    Agents whose supervisor was killed are ended first: no process would restart them, or let them leave properly.
    """
    folder = FleetFolder(home, name)
    fleet = folder.read_fleet()
    if fleet is None or is_alive(fleet.supervisor):
        return fleet
    with folder.locked():
        return _living(folder)


def fleet_names(home: Path) -> tuple[str, ...]:
    """Names of the fleets that have files under ``home``, running or not."""
    agents = home / "agents"
    return tuple(sorted(path.name for path in agents.iterdir() if path.is_dir())) if agents.is_dir() else ()


def forget_queue(server: ServerAddress, queue: str) -> None:
    """Removes a queue that only a passing fleet served; tasks that still wait in it become drafts.

    A server that refuses, or is gone, is a warning in the log.
    """
    attempt(lambda: remove_queue(Client(server), queue), f"queue {queue} stays on the server")


def lose_tasks_of_killed_runs(server: ServerAddress) -> None:
    """Has the tasks run again that killed runs on this machine have left "in progress".

    A server that refuses, or is gone, is a warning in the log.
    """
    attempt(lambda: recovery.after_killed_runs(Client(server)), "tasks of killed runs are still in progress")


def _forget_old(home: Path, but: str) -> None:
    for name in fleet_names(home):
        folder = FleetFolder(home, name)
        idle_s = time.time() - folder.path.stat().st_mtime
        if name not in ("default", but) and folder.read_fleet() is None and idle_s > KEEP_LOGS_S:
            shutil.rmtree(folder.path, ignore_errors=True)


def _start(folder: FleetFolder, home: Path, parent: int | None) -> int:
    command = [sys.executable, "-m", "clearml_hpo.fleet", str(home), folder.name]
    with folder.supervisor_log.open("ab") as log:
        process = subprocess.Popen(
            command + ([str(parent)] if parent else []),
            env=child_environ(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the program in front; that one decides
        )
    process.returncode = 0  # from here on it is known by its pid: it may outlive this handle, without a warning
    return process.pid


def _wait_until_ready(folder: FleetFolder, supervisor: ProcessId, timeout_s: float) -> Fleet | None:
    deadline = time.monotonic() + timeout_s
    fleet = None
    while is_alive(supervisor) and time.monotonic() < deadline:
        fleet = folder.read_fleet() or fleet
        if _ready(fleet) or (fleet is not None and any(agent.phase == "failed" for agent in fleet.agents)):
            break
        time.sleep(_POLL_S)
    return fleet


def _ready(fleet: Fleet | None) -> TypeGuard[Fleet]:
    return fleet is not None and all(agent.phase in READY for agent in fleet.agents)


def _living(folder: FleetFolder) -> Fleet | None:
    fleet = folder.read_fleet()
    if fleet is not None and is_alive(fleet.supervisor):
        return fleet
    if fleet is not None:
        _clean(folder)
    return None


def _clean(folder: FleetFolder) -> None:
    """Ends what a supervisor that was killed has left: daemons, their tasks, closed queues."""
    fleet, plan = folder.read_fleet(), folder.read_plan()
    if fleet is not None:
        for agent in fleet.agents:
            if agent.process is not None:
                _log.warning("%s had lost its supervisor and is ended", agent.worker_id)
                end_session(agent.process, grace_s=0)
        try:
            _tell_server(fleet, Client((plan and plan.server) or configured_server()))
        except ClearmlHpoError as error:
            _log.warning("the server could not be told about the agents' end: %s", error)
        if fleet.tmp is not None:
            shutil.rmtree(fleet.tmp, ignore_errors=True)
    folder.clear()


def _tell_server(fleet: Fleet, client: Client) -> None:
    for queue in fleet.gates:
        attempt(partial(set_closed, client, queue, False), f"queue {queue} stays closed")
    for agent in fleet.agents:
        queue = queue_id(client, agent.slot.queue)
        recovery.after_death(client, agent.worker_id, queue, agent.task, started=True)
    recovery.unregister(client, {agent.worker_id for agent in fleet.agents})


def _why_not(folder: FleetFolder, fleet: Fleet | None, timeout_s: float) -> str:
    if fleet is None:
        return _with_log("the supervisor did not start", folder.supervisor_log)
    late = next((agent for agent in fleet.agents if agent.phase not in READY), fleet.agents[0])
    return _with_log(_reason(late, timeout_s), late.log)


def _reason(agent: AgentState, timeout_s: float) -> str:
    if agent.phase == "failed":
        return f"agent {agent.worker_id} cannot be started: {agent.note}"
    return f"agent {agent.worker_id} does not serve queue {agent.slot.queue} after {timeout_s:.0f} s"


def _with_log(message: str, log: Path) -> str:
    return "\n".join([f"{message}; the end of {log}:", *(f"  {line}" for line in last_lines(log, 20))])


def _listed(slots: Sequence[AgentSlot]) -> str:
    return ", ".join(f"{slot.name} on queue {slot.queue}" for slot in slots)
