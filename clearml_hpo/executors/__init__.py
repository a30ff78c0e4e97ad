"""Executors: ways to run a trial's task. Metrics always come from the server, never from here.

base.py     the interface
kinds.py    executors by name, also those of other packages
queue.py    ClearML queues that ``clearml-agent`` daemons serve
local.py    processes of this machine, no agents
shared.py   a study's part in queues that several studies share
outside.py  trials that are handed out to whoever asks
routed.py   these, and another executor for all other queues
pilots.py   warm workers that are tasks themselves
dask/       a Dask cluster, of others or of the study's own
"""

from clearml_hpo.executors.base import Executor
from clearml_hpo.executors.kinds import ExecutorKind, ExecutorRequest

__all__ = ["Executor", "ExecutorKind", "ExecutorRequest"]
