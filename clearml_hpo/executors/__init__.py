"""Executors: ways to "run task <id>". Metrics always come from the server, never from here.

base.py    the interface
queue.py   a ClearML queue, served by clearml-agent daemons
"""

from clearml_hpo.executors.base import Executor
from clearml_hpo.executors.queue import QueueExecutor

__all__ = ["Executor", "QueueExecutor"]
