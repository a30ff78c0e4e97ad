"""The resources of a campaign at work: a queue for each, and this machine's slots that serve some of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import with_backoff
from clearml_hpo.backend.names import ensure_queue, find_queues
from clearml_hpo.campaign.resources import Resource
from clearml_hpo.core.errors import ApiError
from clearml_hpo.executors import Executor
from clearml_hpo.executors.shared import SharedExecutor
from clearml_hpo.machine.environ import usable_cores
from clearml_hpo.study_file import ResourceSpec
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import Slot, plan_slots
from clearml_hpo.workers.task_source import QueueSource

_TAG = "clearml-hpo-campaign"  # on queues that are of no use to anybody else
_ID = 8


class Serving:
    """Queues of resources, and the workers of this process on those that are its own.

    Attributes:
        queue_ids: by resource.
    """

    def __init__(
        self,
        api: Api,
        campaign_id: str,
        name: str,
        resources: Mapping[str, ResourceSpec],
        *,
        on_note: Callable[[str], None],
        stopped: threading.Event,
    ) -> None:
        """Begins to serve. A queue that is made for this is the campaign's alone, so that resuming finds what waits.

        ``stopped`` is set to give up waiting for a server that is away.

        Raises:
            InputError: the server has no such queue, or this machine no such GPU.
        """
        self._api = api
        slots = slots_of(resources)
        others = {resource: spec.queue for resource, spec in resources.items() if spec.queue is not None}
        ids = find_queues(api, others.values(), key="resources") if others else {}
        self._names = {**others, **{resource: f"{name}-{resource}-{campaign_id[:_ID]}" for resource in slots}}
        self.queue_ids = {
            resource: ids[queue] if resource in others else ensure_queue(api, queue, [_TAG])
            for resource, queue in self._names.items()
        }
        self.resources = [
            Resource(resource, self._names[resource], len(slots[resource]) if resource in slots else None)
            for resource in resources
        ]
        self._here: dict[str, LocalWorkers] = {}
        for resource, own in slots.items():
            workers = partial(
                LocalWorkers, own, QueueSource([self.queue_ids[resource]], on_note), f"{name}-{campaign_id[:_ID]}"
            )
            self._here[resource] = with_backoff(partial(workers, on_note=on_note), on_note, stopped)

    def executor(self, api: Api, resources: Sequence[str]) -> Executor:
        """For a study that may use these; ``api`` is its own."""
        queues = {self._names[resource]: self.queue_ids[resource] for resource in resources}
        here = {self._names[resource]: self._here[resource] for resource in resources if resource in self._here}
        return SharedExecutor(api, queues, here)

    def close(self, *, keeps_queues: bool = False) -> None:
        """Ends what runs here, which becomes stopped; what waits stays.

        Queues made for this go if they are empty, unless another process has use for them.
        """
        with ThreadPoolExecutor(max(1, len(self._here))) as pool:
            closed = dict(zip(self._here, pool.map(lambda workers: workers.close(), self._here.values()), strict=True))
        for resource, was_told in closed.items() if not keeps_queues else ():
            with suppress(ApiError):  # it is gone already, or something waits
                found = self._api.call("queues.get_by_id", queue=self.queue_ids[resource])["queue"]
                if was_told and _TAG in (found.get("tags") or ()) and not found.get("entries"):
                    self._api.call("queues.delete", queue=self.queue_ids[resource])


def slots_of(resources: Mapping[str, ResourceSpec]) -> dict[str, list[Slot]]:
    """What trials of each resource of this machine have for themselves; named as the resource.

    Cores that no resource asks for by ``threads`` are shared out among the resources that have no GPU.

    Raises:
        InputError: this machine has no such GPU.
    """
    here = {name: spec for name, spec in resources.items() if spec.queue is None}
    without_gpu = sum(spec.takes for spec in here.values() if spec.gpu is None)
    found = {}
    for name, spec in here.items():
        if spec.gpu is None:
            threads = spec.threads or max(1, usable_cores() // without_gpu)
            slots = plan_slots(cpu=spec.takes, threads=threads)
        else:
            slots = plan_slots([str(spec.gpu)], per_gpu=spec.takes, threads=spec.threads)
        found[name] = [
            replace(slot, name=name if spec.takes == 1 else f"{name}-{index}") for index, slot in enumerate(slots)
        ]
    return found


def check_resources(resources: Mapping[str, ResourceSpec], api: Api | None) -> None:
    """That this machine has the GPUs, and the server, if there is one, the queues; raises InputError."""
    slots_of(resources)
    queues = [spec.queue for spec in resources.values() if spec.queue is not None]
    if queues and api is not None:
        find_queues(api, queues, key="resources")


def on_this_machine(resources: Mapping[str, ResourceSpec]) -> dict[str, ResourceSpec]:
    """The resources with a slot of this machine in place of each queue that others would serve."""
    return {name: spec if spec.queue is None else ResourceSpec() for name, spec in resources.items()}
