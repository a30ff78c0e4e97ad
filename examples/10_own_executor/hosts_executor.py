"""An executor of your own: a warm worker on each of several hosts, started by ssh or any other command."""

from __future__ import annotations

import contextlib
import subprocess

from pydantic import BaseModel, ConfigDict, Field

from clearml_hpo.core.errors import ApiError
from clearml_hpo.executors import ExecutorKind, ExecutorRequest
from clearml_hpo.executors.queue import QueueExecutor

OWN_QUEUE = "hosts"
_END_S = 30.0


class HostsOptions(BaseModel):
    """``execution.options``: the hosts, and what starts a worker on one of them."""

    model_config = ConfigDict(extra="forbid")

    hosts: list[str] = Field(min_length=1)
    command: list[str] = ["ssh", "{host}", "clearml-hpo", "worker", "--queue", "{queue}", "--idle-timeout", "5m"]


class HostsExecutor(QueueExecutor):
    """Serves a ClearML queue of the study's own. Submitting, withdrawing and aborting are the queue's."""

    def __init__(self, request: ExecutorRequest) -> None:
        """Starts the workers."""
        self._name = f"hosts-{request.study_id}"
        known = request.api.call("queues.get_all", name=f"^{self._name}$", only_fields=["id"])["queues"]
        queue = known[0] if known else request.api.call("queues.create", name=self._name)
        super().__init__(request.api, {OWN_QUEUE: queue["id"]})
        options: HostsOptions = request.options
        self._workers = [
            subprocess.Popen(
                [part.format(host=host, queue=self._name) for part in options.command],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C ends the study first, then close() ends the workers
            )
            for host in options.hosts
        ]

    def workers(self) -> dict[str, int]:
        """Slots that have come, at least one for each worker that is alive."""
        alive = sum(worker.poll() is None for worker in self._workers)
        return {OWN_QUEUE: max(alive, super().workers()[OWN_QUEUE])}

    def how_to_serve(self, queue: str) -> str:
        """The command that starts one more worker."""
        return f"clearml-hpo worker --queue {self._name}"

    def close(self) -> None:
        """Ends the workers, and deletes the queue unless something waits in it."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(_END_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self._workers = []
        with contextlib.suppress(ApiError):  # something waits for the study's next controller; or it is deleted already
            self._api.call("queues.delete", queue=self._queues[OWN_QUEUE])


HOSTS = ExecutorKind(HostsExecutor, HostsOptions, OWN_QUEUE)
