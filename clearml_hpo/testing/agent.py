"""An agent that plays: it takes tasks from a real queue by the agents' own calls, and makes up the training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import STOPPING
from clearml_hpo.backend.configurations import entries_of
from clearml_hpo.backend.hyperparameters import flatten
from clearml_hpo.backend.names import find_queues
from clearml_hpo.core.errors import ApiError

Training = Callable[[Mapping[str, str]], Iterable[Mapping[str, float]]]
_Answer = TypeVar("_Answer")
_AWAY_S = 0.1
"""Pause before a played agent repeats a call that a server in trouble did not answer."""


class PlayedAgent:
    """Serves one queue: in a thread of its own for as long as its ``with`` block lasts, or by :meth:`serve`.

    Attributes:
        ran: ids of the tasks that it has taken, in their order.
    """

    def __init__(
        self,
        training: Training,
        *,
        worker_id: str = "played:0",
        queue: str = "default",
        connects: Mapping[str, tuple[str, str]] | None = None,
        configures: Mapping[str, str] | None = None,
        step_s: float = 0.0,
    ) -> None:
        """Prepares it.

        Args:
            training: takes hyperparameters as texts by ``section/name``, yields what each iteration reports by
                ``title/series``; an exception fails the task.
            connects: what the script would connect where the task has no value: ``{"section/name": (type, text)}``.
            configures: the configuration objects that it would connect, as JSON by name, where the task has none.
            step_s: seconds that an iteration takes.
        """
        self.ran: list[str] = []
        self._training = training
        self._worker_id = worker_id
        self._queue = queue
        self._connects = dict(connects or {})
        self._configures = dict(configures or {})
        self._step_s = step_s
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self.serve, name=worker_id, daemon=True)
        self._api = Api()
        self._queue_id = find_queues(self._api, [queue])[queue]
        self._say_hello()

    def __enter__(self) -> PlayedAgent:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(timeout=30)
        self._api.call("workers.unregister", worker=self._worker_id)

    def _say_hello(self) -> None:
        self._api.call("workers.register", worker=self._worker_id, queues=[self._queue_id])
        self._report_status()

    def _report_status(self, task_id: str | None = None) -> None:
        body = {"task": task_id, "queue": self._queue_id} if task_id else {}
        self._call(
            "workers.status_report",
            worker=self._worker_id,
            timestamp=int(time.time()),
            queues=[self._queue_id],
            **body,
        )

    def serve(self) -> None:
        """Takes tasks until the ``with`` block ends or the queue is deleted."""
        while not self._ends.is_set():
            try:
                entry = self._call("queues.get_next_task", queue=self._queue_id).get("entry")
            except ApiError:
                return  # the queue was deleted
            if entry:
                self._run(entry["task"])
            else:
                self._ends.wait(0.02)

    def _run(self, task_id: str) -> None:
        self.ran.append(task_id)
        self._call("tasks.started", task=task_id, force=True)
        self._report_status(task_id)
        params = self._connect(task_id)
        try:
            for iteration, scalars in enumerate(self._training(params)):
                events = [
                    {
                        "type": "training_stats_scalar",
                        "task": task_id,
                        "metric": name.rpartition("/")[0],
                        "variant": name.rpartition("/")[2],
                        "value": value,
                        "iter": iteration,
                        "timestamp": int(time.time() * 1000),
                    }
                    for name, value in scalars.items()
                ]
                self._until_answered(partial(self._api.send_events, events))
                self._ends.wait(self._step_s)
                if self._is_ended(task_id):
                    return
        except Exception as error:
            self._call("tasks.failed", task=task_id, force=True, status_reason=str(error))
        else:
            self._call("tasks.completed", task=task_id, force=True)

    def _connect(self, task_id: str) -> Mapping[str, str]:
        """The task's hyperparameters; what the script connects and the task lacks is added, as the SDK does."""
        task = self._call("tasks.get_by_id", task=task_id)["task"]
        configuration = task.get("configuration") or {}
        if not configuration and self._configures:
            configuration = {
                name: {"name": name, "type": "dictionary", "value": text} for name, text in self._configures.items()
            }
            self._call("tasks.edit_configuration", task=task_id, force=True, configuration=[*configuration.values()])
        params = flatten(entries_of(task.get("hyperparams") or {}, configuration))
        missing = {name: entry for name, entry in self._connects.items() if name not in params}
        if missing:
            self._call(
                "tasks.edit_hyper_params",
                task=task_id,
                force=True,
                hyperparams=[
                    {"section": name.partition("/")[0], "name": name.partition("/")[2], "type": kind, "value": text}
                    for name, (kind, text) in missing.items()
                ],
            )
        return {**{name: text for name, (_, text) in missing.items()}, **params}

    def _is_ended(self, task_id: str) -> bool:
        """Stops a task that is asked to stop; one that another caller has ended, as agents do, is left as it is."""
        (task,) = self._call("tasks.get_all", id=[task_id], only_fields=["status", "status_message"])["tasks"]
        if self._ends.is_set() or task["status"] == "stopped" or task.get("status_message") == STOPPING:
            self._call("tasks.stopped", task=task_id, force=True)
            return True
        return bool(task["status"] != "in_progress")

    def _call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        return self._until_answered(lambda: self._api.call(endpoint, **body))

    def _until_answered(self, call: Callable[[], _Answer]) -> _Answer:
        """Calls again while the server is away, as agents do."""
        while True:
            try:
                return call()
            except ApiError as error:
                if error.code < 500 or self._ends.wait(_AWAY_S):
                    raise
