"""The fleet: supervised, unmodified ``clearml-agent daemon`` processes on this machine.

control.py     start, stop and show a fleet
supervisor.py  the process that keeps the agents running
agent.py       one agent: its daemon, log and processes
daemon.py      command line and environment of a daemon
slots.py       an agent's queues and GPUs
restarts.py    when a dead daemon is restarted, and when it is given up
leaving.py     stops an agent between two tasks
recovery.py    tasks of agents that are gone
logtail.py     reads a daemon's log
queues.py      queues of the fleet: create, pause, delete
configured.py  the server that the environment or clearml.conf names
state.py       two JSON files that outlive the supervisor
install/       systemd units and a compose file

``up`` starts a supervisor process. It starts one daemon per slot, restarts it when it dies, and ends all of them when
it is told to or ends itself.
"""

from __future__ import annotations

from clearml_hpo.fleet.control import down, fleet_names, forget_queue, lose_tasks_of_killed_runs, run, status, up
from clearml_hpo.fleet.slots import AgentSlot, default_slots, plan_slots
from clearml_hpo.fleet.state import AgentState, Fleet
from clearml_hpo.machine.gpus import detect_gpus

__all__ = [
    "AgentSlot",
    "AgentState",
    "Fleet",
    "default_slots",
    "detect_gpus",
    "down",
    "fleet_names",
    "forget_queue",
    "lose_tasks_of_killed_runs",
    "plan_slots",
    "run",
    "status",
    "up",
]
