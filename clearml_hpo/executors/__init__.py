"""Executors: ways to "run task <id>". Metrics always come from the server, never from here.

base.py          the interface
queue.py         ClearML queues, served by clearml-agent daemons
local.py         processes on this machine, no agents
shared.py        a study's part in queues that several studies share
slots.py         what each of these processes has for itself
workers.py       the thread that takes tasks, runs them and says how they ended
programs.py      what of a task is run
processes.py     the process of one task
warm.py          the same, forked from a process that has done its imports
requirements.py  what a task asks for and this Python lacks
machine.py       what a worker tells of its machine
bell.py          wakes the thread
"""

from clearml_hpo.executor_kinds import ExecutorKind, ExecutorRequest
from clearml_hpo.executors.base import Executor
from clearml_hpo.executors.local import LocalExecutor
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.executors.shared import SharedExecutor
from clearml_hpo.executors.slots import Slot, default_slots, plan_slots

__all__ = [
    "Executor",
    "ExecutorKind",
    "ExecutorRequest",
    "LocalExecutor",
    "QueueExecutor",
    "SharedExecutor",
    "Slot",
    "default_slots",
    "plan_slots",
]
