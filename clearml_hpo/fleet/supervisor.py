"""The process that keeps a fleet's agents running, and ends with all of them.

Signals: SIGUSR1, and the agents leave, each after its current task; SIGTERM, SIGINT or SIGHUP (its terminal is
closed), and they leave at once. With a time to drain, the first SIGTERM is as patient as SIGUSR1 for so long; what
runs then is lost.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from clearml_hpo.backend.http import Client
from clearml_hpo.core.errors import AgentError, ClearmlHpoError
from clearml_hpo.fleet import daemon, recovery
from clearml_hpo.fleet.agent import Agent, Launch
from clearml_hpo.fleet.configured import configured_server
from clearml_hpo.fleet.leaving import leave
from clearml_hpo.fleet.queues import Gates, attempt, queue_id, set_closed
from clearml_hpo.fleet.slots import AgentSlot
from clearml_hpo.fleet.state import Fleet, FleetFolder, Plan
from clearml_hpo.machine.environ import usable_cores
from clearml_hpo.machine.processes import identify
from clearml_hpo.machine.settings import child_environ
from clearml_hpo.machine.signals import handled

TICK_S = 0.2
"""Pause between two looks at the agents."""
LEAVING_TICK_S = 0.02
"""Pause between two looks at agents that leave: the moment between two tasks is short."""
PARENT_CHECK_S = 1.0
"""Period in which a supervisor checks that its run still lives."""
_log = logging.getLogger(__name__)


class Supervisor:
    """Runs the agents of one plan until it is told to stop."""

    def __init__(
        self,
        folder: FleetFolder,
        plan: Plan,
        client: Client,
        *,
        parent: int | None = None,
        drain_s: float | None = None,
        gives_up: bool = False,
    ) -> None:
        """Arguments as for :func:`supervise`."""
        self._folder = folder
        self._plan = plan
        self._client = client
        self._parent = parent
        self._drain_s = drain_s
        self._gives_up = gives_up
        self._lost_at = math.inf
        self._queues = {name: queue_id(client, name) for name in {slot.queue for slot in plan.slots}}
        self._gates = Gates(client, self._record)
        self._tmp = Path(tempfile.mkdtemp(prefix="clearml-hpo-"))
        self._agents = [Agent(launch, on_death=self._recover) for launch in launches(folder, plan, self._tmp)]
        self._recorded: Fleet | None = None
        self._next_parent_check = 0.0
        self.leaving = False
        self.at_once = False

    def run(self) -> None:
        """Returns when all agents have left.

        Raises:
            AgentError: all agents were given up, and it is to end then.
        """
        try:
            self._serve()
            self._leave()
        finally:
            self._close()

    def _serve(self) -> None:
        """Returns when the agents are to leave."""
        while True:
            self._watch_parent()
            if self.leaving:
                return
            for agent in self._agents:
                agent.step()
            self._give_up()
            self._record()
            time.sleep(TICK_S)

    def _leave(self) -> None:
        """Returns when they have left, or are ended because they have not."""
        _log.info("agents leave %s", "at once" if self.at_once else "after their current tasks")
        departures = [self._departure(agent) for agent in self._agents]
        while departures:
            self._watch_parent()
            if time.monotonic() >= self._lost_at:
                self._lose()
                departures = []
            else:
                departures = [departure for departure in departures if _goes_on(departure)]
            self._record()
            time.sleep(LEAVING_TICK_S)

    def stop(self, at_once: bool) -> None:
        """Makes ``run`` end; ``at_once`` also overrules an earlier, patient, call."""
        self.leaving = True
        self.at_once = self.at_once or at_once

    def terminate(self) -> None:
        """Makes ``run`` end as SIGTERM does: at once, or, the first time, within the time to drain."""
        if self._drain_s is None or self.leaving:
            self.stop(at_once=True)
        else:
            self._lost_at = time.monotonic() + self._drain_s
            self.stop(at_once=False)

    def _departure(self, agent: Agent) -> Iterator[None]:
        queue = self._queues[agent.launch.slot.queue]
        yield from leave(agent, self._gates, queue, at_once=lambda: self.at_once)
        agent.tail.read()
        if agent.tail.task:
            recovery.after_stop(self._client, agent.launch.worker_id, queue, agent.tail.task, agent.tail.started)

    def _recover(self, agent: Agent, how: str = "died") -> None:
        queue = self._queues[agent.launch.slot.queue]
        recovery.after_death(self._client, agent.launch.worker_id, queue, agent.tail.task, agent.tail.started, how)

    def _lose(self) -> None:
        """Ends the agents that have not left, as if they had died: a controller runs a lost trial again."""
        for agent in self._agents:
            agent.tail.read()
            if agent.alive:
                _log.info("%s has not left in %.0f s and is ended", agent.launch.worker_id, self._drain_s)
                agent.kill()
                self._recover(agent, "was ended")

    def _give_up(self) -> None:
        if self._gives_up and all(agent.phase == "failed" for agent in self._agents):
            raise AgentError("\n".join(f"{agent.launch.worker_id}: {agent.note}" for agent in self._agents))

    def _watch_parent(self) -> None:
        now = time.monotonic()
        if self._parent is None or now < self._next_parent_check:
            return
        self._next_parent_check = now + PARENT_CHECK_S
        if os.getppid() != self._parent:
            _log.info("the process that started this fleet is gone")
            self._parent = None
            self.stop(at_once=True)

    def _record(self) -> None:
        fleet = Fleet(
            name=self._plan.name,
            supervisor=identify(os.getpid()),
            agents=tuple(agent.state for agent in self._agents),
            gates=self._gates.closed,
            tmp=self._tmp,
        )
        if fleet != self._recorded or self._folder.read_fleet() is None:
            self._folder.write_fleet(fleet)
            self._recorded = fleet

    def _close(self) -> None:
        for agent in self._agents:
            agent.ended()
        for queue in self._gates.closed:
            attempt(partial(set_closed, self._client, queue, False), f"queue {queue} stays closed")
        for queue in self._queues.values():
            attempt(partial(recovery.return_strays, self._client, queue), f"queue {queue} was not looked through")
        workers = {agent.launch.worker_id for agent in self._agents}
        attempt(lambda: recovery.unregister(self._client, workers), "workers stay on the server's list")
        shutil.rmtree(self._tmp, ignore_errors=True)
        self._folder.clear()
        _log.info("fleet %s has ended", self._plan.name)


def supervise(
    folder: FleetFolder,
    plan: Plan,
    *,
    parent: int | None = None,
    drain_s: float | None = None,
    gives_up: bool = False,
) -> None:
    """Runs a plan in this process until a signal ends it.

    Args:
        folder: where the fleet's files are.
        plan: what to run.
        parent: pid of the process without which the fleet is to end; None for none.
        drain_s: how long after SIGTERM running tasks may go on; None ends them at once.
        gives_up: whether it ends when all agents were given up.

    Raises:
        AgentError: there is no server to work for, or all agents were given up.
        ApiError: the server refused to name or make the queue.
    """
    client = Client(plan.server or configured_server())
    supervisor = Supervisor(folder, plan, client, parent=parent, drain_s=drain_s, gives_up=gives_up)
    at_once = partial(supervisor.stop, at_once=True)
    meanings: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGUSR1: partial(supervisor.stop, at_once=False),
        signal.SIGTERM: supervisor.terminate,
        signal.SIGINT: at_once,
        signal.SIGHUP: at_once,
    }
    with handled(meanings):
        supervisor.run()


def worker_id(fleet: str, slot: AgentSlot) -> str:
    """``host:name``; fleets other than the default one put their own name before the slot's, if it does not end so."""
    prefix = "" if fleet == "default" else fleet.removesuffix(f"-{slot.name}") + "-"
    return f"{socket.gethostname()}:{prefix}{slot.name}"


def launches(folder: FleetFolder, plan: Plan, tmp: Path) -> list[Launch]:
    """How each agent of a plan is started."""
    on_cpu = sum(slot.gpus is None for slot in plan.slots)
    threads = max(1, usable_cores() // max(1, on_cpu))
    result = []
    for slot in plan.slots:
        place = daemon.Workplace(worker_id(plan.name, slot), folder.path / slot.name, tmp / slot.name)
        place.folder.mkdir(parents=True, exist_ok=True)
        place.tmp.mkdir()
        environ = daemon.environ(child_environ(), slot, place, server=plan.server, threads=threads, venv=plan.venv)
        log = folder.log(slot.name)
        result.append(Launch(slot, place.worker_id, daemon.command(slot), environ, log))
    return result


def _goes_on(departure: Iterator[None]) -> bool:
    try:
        next(departure)
    except StopIteration:
        return False
    except ClearmlHpoError as error:
        _log.warning("an agent is ended at once: %s", error)
        return False
    return True
