"""What becomes of a task whose agent is gone: none may stay "in progress", or "queued" in no queue."""

from __future__ import annotations

import itertools
import logging
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

from clearml_hpo.backend.codes import AGENT_ENDED, ARCHIVED, LOST
from clearml_hpo.backend.http import Client
from clearml_hpo.backend.withdrawal import SETTLE_S, is_spoilt, put_back
from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.fleet.queues import attempt
from clearml_hpo.machine.background import is_running

_OF_A_RUN = re.compile(r"(?P<host>[^:]+):run-(?P<pid>\d+)-[\w-]+")

_PAGE = 500
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
            if end_task(client, task, "failed", f"{LOST} agent {worker_id} {how}"):
                _log.warning("%s: its task %s is lost", worker_id, task)
        elif task and return_task(client, task, queue):
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
    """Ends a task that is "in progress", or a draft that has run, as ``failed`` or ``stopped``; whether it was so."""
    found = client.call("tasks.get_all", id=[task], only_fields=["status", "started"])["tasks"]
    if not found or not (found[0]["status"] == "in_progress" or is_spoilt(found[0])):
        return False
    client.call(f"tasks.{action}", task=task, force=True, status_reason=reason, status_message=reason)
    return True


def return_task(client: Client, task: str, queue: str) -> bool:
    """Puts a task that an agent had taken but not started back to the front of its queue; whether it is there now.

    The agent may have said already that it starts, or that it was aborted; what was ended or withdrawn since then
    stays as it is.
    """
    fields = ["status", "status_reason", "status_message", "system_tags"]
    found = client.call("tasks.get_all", id=[task], only_fields=fields)["tasks"]
    if found and (found[0]["status"] == "in_progress" or _was_aborted_with_its_agent(found[0])):
        client.call("tasks.reset", task=task, force=True)
        client.call("tasks.enqueue", task=task, queue=queue)
    elif not put_back(client, task, queue):
        return False
    attempt(
        lambda: client.call("queues.move_task_to_front", queue=queue, task=task),
        f"task {task} is last in its queue, not first",
    )
    return True


def _was_aborted_with_its_agent(task: Mapping[str, Any]) -> bool:
    """An agent that is terminated says "user abort", or nothing at all; a stop by a user has a message.

    Archiving stops a task, too, and blanks what was said: what is archived stays as it is.
    """
    if ARCHIVED in (task.get("system_tags") or ()):
        return False
    said = [str(task.get(name) or "") for name in ("status_reason", "status_message")]
    return task["status"] == "stopped" and (said[0].startswith(AGENT_ENDED) or not any(said))


def return_strays(client: Client, queue: str, settle_s: float = SETTLE_S) -> list[str]:
    """Puts back the tasks that an agent took from a queue and died before it told the server; their ids."""
    strays = _strays(client, queue)
    if strays:
        time.sleep(settle_s)
        strays &= _strays(client, queue)
    return sorted(task for task in strays if put_back(client, task, queue))


def after_killed_runs(client: Client) -> None:
    """Marks the tasks lost that agents of ``run --local`` ran here, if that run is gone and they could not say so.

    A run that is killed takes its agents along, and its server too, which may be the first to end.
    """
    for task in _all(client, "in_progress", ["id", "last_worker"]):
        worker = str(task.get("last_worker") or "")
        found = _OF_A_RUN.fullmatch(worker)
        if found and found["host"] == socket.gethostname() and not is_running(int(found["pid"])):
            end_task(client, task["id"], "failed", f"{LOST} agent {worker} died")


def unregister(client: Client, worker_ids: set[str]) -> None:
    """Takes workers that could not do so themselves off the server's list."""
    for worker in client.call("workers.get_all")["workers"]:
        if worker["id"] in worker_ids:
            client.call("workers.unregister", worker=worker["id"])


def _strays(client: Client, queue: str) -> set[str]:
    queued = _all(client, "queued", ["id", "execution.queue"])
    mine = {str(task["id"]) for task in queued if (task.get("execution") or {}).get("queue") == queue}
    entries = client.call("queues.get_by_id", queue=queue)["queue"].get("entries") or []
    return mine - {str(entry["task"]) for entry in entries}


def _all(client: Client, status: str, fields: list[str]) -> list[dict[str, Any]]:
    """All tasks of a status; a server gives 500 at most a call."""
    found: list[dict[str, Any]] = []
    for page in itertools.count():
        body = {"status": [status], "only_fields": fields, "order_by": ["created"], "page": page, "page_size": _PAGE}
        tasks = client.call("tasks.get_all", search_hidden=True, **body)["tasks"]
        found += tasks
        if not tasks:
            break
    return found
