"""What becomes of a task whose agent is gone: none may stay "in progress", or "queued" in no queue."""

from __future__ import annotations

import logging
import re
import socket
import time

import psutil

from clearml_hpo.errors import ClearmlHpoError
from clearml_hpo.fleet.client import Client
from clearml_hpo.fleet.queues import attempt

SETTLE_S = 1.0
"""A living agent's task is "queued" and in no queue for milliseconds, between being taken and being started."""

_OF_A_RUN = re.compile(r"(?P<host>[^:]+):run-(?P<pid>\d+)-[\w-]+")

_log = logging.getLogger(__name__)


def after_death(client: Client, worker_id: str, queue: str, task: str | None, started: bool, how: str = "died") -> None:
    """Sees to the task of an agent that died: a started one is marked lost, any other one is put back.

    Args:
        client: the server.
        worker_id: the agent.
        queue: id of its queue.
        task: the task that it said it had taken; it may have died before it could say so.
        started: whether that task's process was started.
        how: what befell the agent, for the task's reason.
    """
    try:
        if task and started:
            if end_task(client, task, "failed", f"lost: agent {worker_id} {how}"):
                _log.warning("%s: its task %s is lost", worker_id, task)
        elif task:
            return_task(client, task, queue)
            _log.warning("%s: its task %s, not yet started, is back in its queue", worker_id, task)
        for stray in return_strays(client, queue):
            _log.warning("task %s was in no queue and is back in %s", stray, queue)
    except ClearmlHpoError as error:
        _log.warning("%s: the server could not be told about its task: %s", worker_id, error)


def after_stop(client: Client, worker_id: str, queue: str, task: str, started: bool) -> None:
    """Sees to the task with which an agent was stopped: it is shown as aborted, or put back if not yet started.

    The agent itself says that it was aborted. But the task's process, while it starts, says that it is in
    progress, and has the last word if it is quicker than its end.
    """
    try:
        if started:
            end_task(client, task, "stopped", f"agent {worker_id} was stopped")
        else:
            return_task(client, task, queue)
    except ClearmlHpoError as error:
        _log.warning("%s: the server could not be told about task %s: %s", worker_id, task, error)


def end_task(client: Client, task: str, action: str, reason: str) -> bool:
    """Ends a task that is still "in progress" as ``failed`` or ``stopped``; whether it was so."""
    found = client.call("tasks.get_all", id=[task], only_fields=["status"])["tasks"]
    if not found or found[0]["status"] != "in_progress":
        return False
    client.call(f"tasks.{action}", task=task, force=True, status_reason=reason, status_message=reason)
    return True


def return_task(client: Client, task: str, queue: str) -> None:
    """Puts a task that an agent had taken but not started back to the front of its queue."""
    client.call("tasks.reset", task=task, force=True)
    client.call("tasks.enqueue", task=task, queue=queue)
    attempt(
        lambda: client.call("queues.move_task_to_front", queue=queue, task=task),
        f"task {task} is last in its queue, not first",
    )


def return_strays(client: Client, queue: str, settle_s: float = SETTLE_S) -> list[str]:
    """Puts back the tasks that an agent took from a queue and died before it told the server; their ids."""
    strays = _strays(client, queue)
    if strays:
        time.sleep(settle_s)
        strays &= _strays(client, queue)
    for task in strays:
        client.call("tasks.dequeue", task=task)
        client.call("tasks.enqueue", task=task, queue=queue)
    return sorted(strays)


def after_killed_runs(client: Client) -> None:
    """Marks the tasks lost that agents of ``run --local`` ran here, if that run is gone and they could not say so.

    A run that is killed takes its agents along, and its server too, which may be the first to end.
    """
    tasks = client.call("tasks.get_all", status=["in_progress"], only_fields=["id", "last_worker"])["tasks"]
    for task in tasks:
        worker = str(task.get("last_worker") or "")
        found = _OF_A_RUN.fullmatch(worker)
        if found and found["host"] == socket.gethostname() and not psutil.pid_exists(int(found["pid"])):
            end_task(client, task["id"], "failed", f"lost: agent {worker} died")


def unregister(client: Client, worker_ids: set[str]) -> None:
    """Takes workers that could not do so themselves off the server's list."""
    for worker in client.call("workers.get_all")["workers"]:
        if worker["id"] in worker_ids:
            client.call("workers.unregister", worker=worker["id"])


def _strays(client: Client, queue: str) -> set[str]:
    fields = ["id", "execution.queue"]
    queued = client.call("tasks.get_all", status=["queued"], only_fields=fields)["tasks"]
    mine = {str(task["id"]) for task in queued if (task.get("execution") or {}).get("queue") == queue}
    entries = client.call("queues.get_by_id", queue=queue)["queue"].get("entries") or []
    return mine - {str(entry["task"]) for entry in entries}
