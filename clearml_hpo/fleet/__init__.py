"""The fleet: supervised, unmodified ``clearml-agent daemon`` processes on this machine.

``up`` starts a supervisor process, which starts one daemon per slot, starts it again when it dies, and ends them
when it is told to or ends itself. See ``state.py`` for the files, ``leaving.py`` for how an agent leaves.
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
