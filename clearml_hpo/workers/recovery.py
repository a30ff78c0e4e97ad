"""Cleans up after earlier workers of this machine: fails the tasks that they ran, puts back what they had taken."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import LOST, PULLED_BY, Subcode
from clearml_hpo.backend.lists import rows
from clearml_hpo.backend.withdrawal import SETTLE_S, put_back
from clearml_hpo.core.errors import ApiError
from clearml_hpo.machine.processes import identify, is_alive, pid_space
from clearml_hpo.workers.slots import Slot


def worker_id(name: str, pid: int, slot: Slot) -> str:
    """``host:name-pid.space:slot``: unique among all processes, and it tells whether its own is alive."""
    return f"{socket.gethostname()}:{name}-{pid}.{pid_space()}:{slot.name}"


def worker_of(task: Mapping[str, Any]) -> str:
    """The id of the worker that has started a task, also before that worker reports it, or once the script does."""
    reason = str(task.get("status_reason") or "")
    return reason.removeprefix(PULLED_BY) if reason.startswith(PULLED_BY) else str(task.get("last_worker") or "")


def recover(api: Api, queues: Sequence[str], own: Collection[str]) -> None:
    """Fails the tasks of dead workers of this machine, and puts tasks back that were taken and never started.

    Args:
        queues: ids; tasks of other queues are left alone.
        own: ids of the workers that are about to begin: one that has a task is an earlier one, of the same pid.
    """
    for task in _tasks(api, "in_progress", queues):
        worker = worker_of(task)
        if worker in own or is_dead(worker):
            _fail(api, task["id"], f"{LOST} worker {worker} died")
    strays = _strays(api, queues)
    if strays:
        time.sleep(SETTLE_S)  # another worker may just have taken it
        strays = {task_id: queue for task_id, queue in _strays(api, queues).items() if task_id in strays}
    for task_id, queue in strays.items():
        put_back(api, task_id, queue)


def _tasks(api: Api, status: str, queues: Collection[str]) -> list[Mapping[str, Any]]:
    fields = ["id", "status", "status_reason", "execution.queue", "last_worker"]
    filters = {"status": [status], "only_fields": fields, "order_by": ["created"], "search_hidden": True}
    return [task for task in rows(api, "tasks", filters) if queue_of(task) in queues]


def _strays(api: Api, queues: Sequence[str]) -> dict[str, str]:
    """Tasks that are queued and in no queue, each with the queue that it was taken from."""
    tasks = _tasks(api, "queued", queues)
    if not tasks:
        return {}
    found = api.call("queues.get_all", id=queues, only_fields=["id", "entries"])["queues"]
    waiting = {entry["task"] for queue in found for entry in queue.get("entries") or ()}
    return {task["id"]: queue_of(task) for task in tasks if task["id"] not in waiting}


def _fail(api: Api, task_id: str, reason: str) -> None:
    """Without force: a task that has completed meanwhile keeps its status."""
    try:
        api.call("tasks.failed", task=task_id, status_reason=reason)
    except ApiError as error:
        if error.subcode not in (Subcode.NO_SUCH_TASK, Subcode.WRONG_STATUS):
            raise


def queue_of(task: Mapping[str, Any]) -> str:
    """Id of the queue that a task was last put in; empty if there is none."""
    return str((task.get("execution") or {}).get("queue") or "")


def is_dead(worker: str) -> bool:
    """Whether a worker was one of this machine, and its process is gone."""
    match = re.fullmatch(re.escape(socket.gethostname()) + r":.+-(\d+)\.(\w+):[^:]+", worker)
    return match is not None and match[2] == pid_space() and not is_alive(identify(int(match[1])))
