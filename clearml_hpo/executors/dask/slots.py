"""The Dask workers of this machine: one for each slot with a GPU, which it alone sees, and one for all on the cores.

A Dask worker keeps a process warm that has imported what a script imports; sixty-four slots need not import it
sixty-four times. But a trial that needs two GPUs must not find them where two trials have one each.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import dask
from distributed import Nanny, Scheduler
from distributed.deploy.spec import SpecCluster
from distributed.security import Security

from clearml_hpo.executors.dask.plan import GPU
from clearml_hpo.machine.settings import child_environ
from clearml_hpo.workers.slots import Slot

PRELOAD = "clearml_hpo.executors.dask.preload"
DURATIONS = {"distributed.scheduler.default-task-durations": {"clearml-trial": "1h"}}
"""Without it a scheduler believes that trials take half a second: it asks for workers one by one, as they are needed
by that estimate, and closes them while trials wait. To be set in the scheduler's process."""
_WORKER = {"distributed.worker.profile.enabled": False}
"""Dask would look at the stack of each thread a hundred times a second; here all of them wait for other processes."""


def groups_of(slots: Sequence[Slot]) -> dict[str, tuple[Slot, ...]]:
    """The slots of each Dask worker, by what its name ends with."""
    on_cores = tuple(slot for slot in slots if slot.gpu is None)
    groups: dict[str, tuple[Slot, ...]] = {slot.name: (slot,) for slot in slots if slot.gpu is not None}
    return {**groups, "cpu": on_cores} if on_cores else groups


def worker_options(slots: Sequence[Slot], name: str, resources: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """The options of the ``Nanny`` of a worker with these slots."""
    of_slot = {GPU: 1.0} if slots[0].gpu is not None else {}
    return {
        "name": name,
        "nthreads": len(slots),
        "memory_limit": 0,  # Dask would look at the worker's own memory, in which no trial runs
        "resources": {**of_slot, **resources},
        "preload": [PRELOAD],
        "config": _WORKER,
        "env": {**child_environ(), **slots[0].environ()},
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
        **more,
    }


class SlotNanny(Nanny):
    """A nanny that leaves the number of threads to the slots: Dask's own would set 1, also for this process."""

    def __init__(self, *where: Any, **options: Any) -> None:
        with dask.config.set({"distributed.nanny.pre-spawn-environ": {}}):
            super().__init__(*where, **options)


class SlotCluster(SpecCluster):
    """A scheduler in this process, and workers on this machine."""

    def __init__(
        self,
        groups: Mapping[str, Sequence[Slot]],
        resources: Mapping[str, float],
        *,
        security: Security | None,
        dashboard: str,
        **more: Any,
    ) -> None:
        """Starts the scheduler, on the loopback interface; ``scale`` and ``adapt`` start workers, by these groups."""
        self._groups = groups
        self._resources = resources
        scheduler = {
            "cls": Scheduler,
            "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": dashboard, "security": security},
        }
        worker = {"cls": SlotNanny, "options": {}}
        super().__init__(  # type: ignore[no-untyped-call]
            scheduler=scheduler, worker=worker, security=security, **more
        )

    def new_worker_spec(self) -> dict[str, Any]:
        """The first group that has no worker."""
        name = next(name for name in self._groups if name not in self.worker_spec)
        options = worker_options(self._groups[name], name, self._resources, host="127.0.0.1", security=self.security)
        return {name: {"cls": SlotNanny, "options": options}}
