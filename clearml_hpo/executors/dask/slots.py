"""The Dask workers of this machine, one for each slot: each sees its own GPU, or its share of the cores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import dask
from distributed import Nanny, Scheduler
from distributed.deploy.spec import SpecCluster
from distributed.security import Security

from clearml_hpo.machine.settings import child_environ
from clearml_hpo.workers.slots import Slot

PRELOAD = "clearml_hpo.executors.dask.preload"
GPU = "GPU"
"""The resource that the worker of a slot with a GPU has one of."""
DURATIONS = {"distributed.scheduler.default-task-durations": {"clearml-trial": "1h"}}
"""Without it a scheduler believes that trials take half a second: it asks for workers one by one, as they are needed
by that estimate, and closes them while trials wait. To be set in the scheduler's process."""


def worker_options(slot: Slot, name: str, resources: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """The options of the ``Nanny`` of a slot's worker."""
    of_slot = {GPU: 1.0} if slot.gpu is not None else {}
    return {
        "name": name,
        "nthreads": 1,
        "memory_limit": 0,  # Dask would look at the worker's own memory, in which no trial runs
        "resources": {**of_slot, **resources},
        "preload": [PRELOAD],
        "env": {**child_environ(), **slot.environ()},
        "dashboard": False,
        "silence_logs": logging.WARNING,
        **more,
    }


def without_thread_limits() -> dask.config.set:
    """The configuration for nannies: Dask would have libraries start one thread, also where a slot sets no limit."""
    return dask.config.set({"distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": 65536}})


class SlotCluster(SpecCluster):
    """A scheduler in this process, and a worker for each slot of this machine."""

    def __init__(self, slots: Sequence[Slot], *, security: Security | None, dashboard: str, **more: Any) -> None:
        """Starts the scheduler, on the loopback interface; ``scale`` and ``adapt`` start workers."""
        self._slots = {slot.name: slot for slot in slots}
        scheduler = {
            "cls": Scheduler,
            "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": dashboard, "security": security},
        }
        worker = {"cls": Nanny, "options": {}}
        super().__init__(  # type: ignore[no-untyped-call]
            scheduler=scheduler, worker=worker, security=security, **more
        )

    def new_worker_spec(self) -> dict[str, Any]:
        """The worker of the first slot that has none."""
        name = next(name for name in self._slots if name not in self.worker_spec)
        options = worker_options(self._slots[name], name, {}, host="127.0.0.1", security=self.security)
        return {name: {"cls": Nanny, "options": options}}
