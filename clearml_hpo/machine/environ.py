"""What a task's process takes over from the environment around it, and what it must not; its share of the cores."""

from __future__ import annotations

import os
from collections.abc import Mapping

_OF_A_TASK = (
    "CLEARML_TASK_ID",
    "CLEARML_PROC_MASTER_ID",
    "CLEARML_LOG_TASK_TO_BACKEND",
    "CLEARML_NODE_ID",
    "CLEARML_WORKER_ID",
    "CLEARML_WORKER_NAME",
    "CLEARML_SIMULATE_REMOTE_TASK",
    "RANK",
    "SLURM_PROCID",
)
FOREIGN = frozenset((*_OF_A_TASK, *(name.replace("CLEARML_", "TRAINS_") for name in _OF_A_TASK)))
"""Variables of a task that may surround this process. Left in, the tasks that it starts would take themselves for
sub-processes of that task, or for a node of a distributed training that must not set its own status."""

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)


def without_foreign(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without what belongs to a task around this process."""
    return {name: value for name, value in environ.items() if name not in FOREIGN}


def thread_limits(threads: int) -> dict[str, str]:
    """The variables with which numerical libraries start at most so many threads."""
    return dict.fromkeys(THREADS, str(threads))


def usable_cores() -> int:
    """The cores that this process may use, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
