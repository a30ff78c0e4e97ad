"""Dask workers of one thread each, all in this process: ``python -m benchmarks.scale_workers ADDRESS COUNT SECONDS``.

A trial of theirs trains nothing. For SECONDS it makes the calls that a real worker makes, and reports a value every ten
seconds and at its end. What a real script calls besides (``Task.init``) is left out.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

from distributed import Worker

from clearml_hpo.backend.api import Api
from clearml_hpo.executors.dask import trials

_REPORT_S = 10.0
_SIGN_S = 30.0
"""How often a worker, and what it runs, tell that they live."""


class StandIn(trials.TrialPlace):
    """A worker's place, with one slot and without a process."""

    train_s = 10.0

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._started = None
        self._made_at = time.monotonic()
        self._api: Api | None = None
        self._id = f"scale:{worker.name}"
        for amounts in (worker.state.total_resources, worker.state.available_resources):
            amounts.setdefault(trials.RESOURCE, worker.state.nthreads)

    def run_one(self, queue: str, look_s: float) -> str:
        """The first task of the queue, with as many looks at its status as a real worker makes."""
        api = self._connected(queue)
        entry = api.call("queues.get_next_task", queue=queue).get("entry")
        if not entry:
            return ""
        task = str(entry["task"])
        params = api.call("tasks.get_all", id=[task], only_fields=["status", "hyperparams"])["tasks"][0]["hyperparams"]
        api.call("tasks.started", task=task, status_reason=f"pulled by {self._id}")
        self._sign(queue, task)
        value = (float(params["General"]["x"]["value"]) - 0.3) ** 2
        ends_at, due = time.monotonic() + self.train_s, {"look": 0.0, "report": _REPORT_S, "sign": _SIGN_S}
        began, every = time.monotonic(), {"look": look_s, "report": _REPORT_S, "sign": _SIGN_S}
        while (left := ends_at - time.monotonic()) > 0:
            next_one = min(due, key=lambda name: due[name])
            time.sleep(max(0.0, min(left, began + due[next_one] - time.monotonic())))
            if time.monotonic() >= ends_at:
                break
            due[next_one] += every[next_one]
            if next_one == "look":
                api.call("tasks.get_all", id=[task], only_fields=["status", "status_message", "status_reason"])
            elif next_one == "report":
                self._report(task, value + 1.0, int(time.monotonic() - began))
            else:
                self._sign(queue, task)
                api.call("tasks.ping", task=task)
        self._report(task, value, int(self.train_s) + 1)
        api.call("tasks.get_all", id=[task], only_fields=["status", "status_message", "status_reason"])
        api.call("tasks.completed", task=task, force=True, status_reason="its process ended")
        return task

    def _connected(self, queue: str) -> Api:
        if self._api is None:
            self._api = Api()
            self._api.call("workers.register", worker=self._id, queues=[queue])
        return self._api

    def _sign(self, queue: str, task: str) -> None:
        sign: dict[str, Any] = {"worker": self._id, "timestamp": int(time.time() * 1000), "queues": [queue]}
        assert self._api is not None
        self._api.call("workers.status_report", **sign, task=task, queue=queue)

    def _report(self, task: str, value: float, step: int) -> None:
        scalar = {"type": "training_stats_scalar", "metric": "validation", "variant": "loss", "value": value}
        assert self._api is not None
        self._api.send_events([{**scalar, "task": task, "iter": step, "timestamp": int(time.time() * 1000)}])


async def serve(address: str, count: int) -> None:
    """Until the scheduler goes."""
    options = {"nthreads": 1, "host": "127.0.0.1", "dashboard": False, "memory_limit": 0}
    workers = []
    for number in range(count):
        worker = Worker(address, name=f"worker-{number}", **options)
        StandIn.of(worker)
        workers.append(await worker)
    print("all are there", flush=True)
    await asyncio.gather(*(worker.finished() for worker in workers))


def main(address: str, count: str, train_s: str) -> None:
    """Serves as so many workers."""
    import dask

    trials.TrialPlace = StandIn  # type: ignore[misc]
    StandIn.train_s = float(train_s)
    threading.stack_size(256 * 1024)
    dask.config.set({"distributed.worker.profile.enabled": False, "distributed.admin.system-monitor.interval": "10s"})
    asyncio.run(serve(address, int(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
