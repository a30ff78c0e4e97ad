"""Runs trial tasks on a Dask cluster: they wait in a ClearML queue of the study's own, and Dask runs their tickets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import cached_property

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import CONTROLLER_ENDED
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.backend.names import ensure_queue, own_queue_name
from clearml_hpo.backend.study_records import DASHBOARD
from clearml_hpo.core.errors import ApiError
from clearml_hpo.executors.dask import trials
from clearml_hpo.executors.dask.cluster import OwnCluster, connect
from clearml_hpo.executors.dask.plan import GPU, DaskPlan
from clearml_hpo.executors.dask.tickets import Tickets
from clearml_hpo.executors.queue import QueueExecutor

_TAG = "clearml-hpo-dask"  # on queues that were made for one study
_END_S = 15.0
"""How long the workers of the study's own cluster may take to end their trials."""


class DaskExecutor(QueueExecutor):
    """A Dask cluster, and the study's own queues: one for each set of resources that trials need.

    A user can dequeue, abort or requeue trials in the web page as in any queue, and they survive this process. Trials
    that run on a cluster of others go on when it ends.
    """

    def __init__(self, api: Api, plan: DaskPlan, *, study_id: str, on_note: Callable[[str], None]) -> None:
        """Starts the cluster, if the study has its own, and connects in the background.

        Raises:
            InputError: the cluster cannot be started.
        """
        self._own = OwnCluster(plan.cluster, plan.tls, plan.needs) if plan.cluster is not None else None
        self._queue_ids = {place: ensure_queue(api, own_queue_name(place, study_id), [_TAG]) for place in plan.places}
        super().__init__(api, self._queue_ids)
        self._plan = plan
        self._is_closed = False
        own = self._own.cluster if self._own else None
        self._tickets = Tickets(
            lambda: connect(plan, own),
            _OnClearml(study_id, self._queue_ids),
            plan.places,
            self._queue_ids,
            study_id=study_id,
            name=plan.name,
            on_note=on_note,
        )

    def submit(self, task_id: str, queue: str) -> None:
        """Puts the task last in its queue, in one call, and sends a ticket for it.

        Raises:
            ApiError: with subcode 701, if that queue was deleted.
        """
        super().submit(task_id, queue)
        self._tickets.send(task_id, queue)

    def workers(self) -> dict[str, int]:
        """How many trials the cluster can run at once, by place, without a call; the study's own: at the most.

        The first call waits for the scheduler: the loop asks again no sooner than ten seconds later.
        """
        self._tickets.wait_for_workers()
        members, at_most = self._tickets.members, self._own.places if self._own else 0
        found = {place: members.room_for(needs) for place, needs in self._plan.places.items()}
        # Workers of its own that are there and cannot run a trial are no sign that those to come can.
        return {place: max(count, at_most) if count or not members.seen else 0 for place, count in found.items()}

    def how_to_serve(self, queue: str) -> str:
        """The command that starts Dask workers."""
        plan, own = self._plan, self._own
        where = own.cluster.scheduler_address if own else plan.address or f"--scheduler-file {plan.scheduler_file}"
        needs = plan.places[queue]
        slots = "--gpus 0" if GPU in needs else "--cpu 4"
        more = "".join(f" --resources {name}={amount:g}" for name, amount in needs.items() if name != GPU)
        return f"clearml-hpo dask worker {where} {slots}{more}"

    def close(self) -> None:
        """Leaves the cluster, or ends the study's own with the trials that run there. Deletes queues that are empty."""
        if self._is_closed:
            return
        self._is_closed = True
        self._tickets.close()
        if self._own is not None:
            with (
                contextlib.suppress(OSError, TimeoutError, RuntimeError),
                connect(self._plan, self._own.cluster) as client,
            ):
                client.run(trials.end_trials, CONTROLLER_ENDED, callback_timeout=_END_S, on_error="ignore")
            self._own.close()
        for queue_id in self._queue_ids.values():
            with contextlib.suppress(ApiError):  # it is gone already, or trials wait there
                self._api.call("queues.delete", queue=queue_id)


class _OnClearml:
    """What the thread of the tickets asks of the ClearML server, on a connection of its own."""

    def __init__(self, study_id: str, queue_ids: Mapping[str, str]) -> None:
        """Connects at the first call."""
        self._study_id = study_id
        self._places = {queue_id: place for place, queue_id in queue_ids.items()}

    @cached_property
    def _api(self) -> Api:
        return Api()

    def keep_dashboard(self, link: str) -> None:
        """Has the study say where its Dask dashboard is."""
        set_properties(self._api, self._study_id, {DASHBOARD: link})

    def waiting(self) -> dict[str, str]:
        """The tasks that wait in the queues, each with its place."""
        found = self._api.call("queues.get_all", id=[*self._places], only_fields=["id", "entries"])["queues"]
        return {entry["task"]: self._places[queue["id"]] for queue in found for entry in queue.get("entries") or ()}
